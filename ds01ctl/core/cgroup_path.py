"""Say where a process lives from the path of its control group.

Path elements are compared, never substrings: ``docker.service`` is the daemon, not a container.
Sources: runc and systemd naming, podman, containerd, kubelet, lxc and Slurm cgroup layouts.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Home = Literal["container", "host"]

_ID = r"([0-9a-f]{64})"
_CONTAINER_ELEMENTS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("docker", re.compile(rf"docker-{_ID}\.scope")),
    ("podman", re.compile(rf"libpod-{_ID}(?:\.scope)?")),
    ("containerd", re.compile(rf"cri-containerd-{_ID}\.scope")),
    ("cri-o", re.compile(rf"crio-{_ID}(?:\.scope)?")),
    ("nerdctl", re.compile(rf"nerdctl-{_ID}(?:\.scope)?")),
    # runc with the cgroupfs driver given a systemd-style path: PARENT.slice:PREFIX:ID
    ("docker", re.compile(rf"[^:]+:docker:{_ID}")),
    ("containerd", re.compile(rf"[^:]+:cri-containerd:{_ID}")),
    ("nerdctl", re.compile(rf"[^:]+:nerdctl:{_ID}")),
    ("lxc", re.compile(r"lxc\.payload\.(.+)")),
    ("nspawn", re.compile(r"systemd-nspawn@(.+)\.service")),
    ("libvirt", re.compile(r"machine-qemu\\x2d(.+)\.scope")),
    ("nspawn", re.compile(r"machine-(.+)\.scope")),
)
_BARE_ID = re.compile(_ID)
_POD = re.compile(r"(?:kubepods-(?:\w+-)?)?pod([0-9a-f][0-9a-f_-]{30,})(?:\.slice)?")
_RUNTIME_OF_PARENT = {"docker": "docker", "default": "nerdctl", "k8s.io": "containerd"}
_USER_SLICE = re.compile(r"user-(\d+)\.slice")
_USER_SERVICE = re.compile(r"user@(\d+)\.service")
_SESSION = re.compile(r"session-\w+\.scope")
_SLURM_UID = re.compile(r"uid_(\d+)")
_SLURM_JOB = re.compile(r"job_(\d+)")


class Place(NamedTuple):
    """Where a process lives."""

    home: Home
    runtime: str
    """docker, podman, containerd, cri-o, nerdctl, kubernetes, buildkit, lxc, nspawn, libvirt;
    on the host slurm, session, user-service, system-service or other."""
    id: str | None = None
    """The outermost container's id or name; on the host the unit or job."""
    inner_id: str | None = None
    """The innermost container's id, when containers are nested."""
    uid: int | None = None
    """Whose user slice or user manager the path runs through: systemd put it there."""
    pod: str | None = None
    slice: str | None = None
    """The innermost slice above it."""

    @property
    def is_rootless(self) -> bool:
        """Tell whether a user's own engine runs the container."""
        return self.home == "container" and self.uid is not None


def classify(path: str) -> Place:
    """Classify the path of a control group, as /proc/PID/cgroup gives it."""
    elements = _elements(path)
    found = [hit for index in range(len(elements)) if (hit := _container_at(elements, index))]
    if not found:
        kind, unit = _host_place(elements)
        return Place("host", kind, unit, uid=_first_uid(elements), slice=_last_slice(elements))
    runtime, name, depth = found[0]
    inner = found[-1][1] if found[-1][1] != name else None
    above = elements[:depth]
    pod = next((match[1] for e in above if (match := _POD.fullmatch(e))), None)
    return Place("container", runtime, name, inner, _first_uid(above), pod, _last_slice(above))


def _last_slice(elements: list[str]) -> str | None:
    return next((e for e in reversed(elements) if e.endswith(".slice")), None)


def is_below(path: str, slice_name: str) -> bool:
    """Tell whether a control group lies under a top-level slice such as ``ds01.slice``."""
    return slice_name in _elements(path)[:1]


def is_within(path: str, ancestor: str) -> bool:
    """Tell whether a control group is another one or lies below it."""
    return path == ancestor or path.startswith(ancestor.rstrip("/") + "/")


def _elements(path: str) -> list[str]:
    """Split; drop ``(deleted)`` and the ``..`` that another cgroup namespace shows."""
    path = path.removesuffix(" (deleted)")
    return [element for element in path.split("/") if element not in {"", ".", ".."}]


def _first_uid(elements: list[str]) -> int | None:
    for element in elements:
        match = (
            _USER_SLICE.fullmatch(element)
            or _USER_SERVICE.fullmatch(element)
            or _SLURM_UID.fullmatch(element)
        )
        if match:
            return int(match[1])
    return None


def _container_at(elements: list[str], index: int) -> tuple[str, str, int] | None:
    """Recognise a container at one element: runtime, id or name, depth."""
    element = elements[index]
    in_pod = any(_POD.fullmatch(above) for above in elements[:index])
    for runtime, pattern in _CONTAINER_ELEMENTS:
        if match := pattern.fullmatch(element):
            return "kubernetes" if in_pod else runtime, _unescape(match[1]), index
    parent = elements[index - 1] if index else ""
    if _BARE_ID.fullmatch(element):
        runtime = "kubernetes" if in_pod else _RUNTIME_OF_PARENT.get(parent, "docker")
        return runtime, element, index
    if parent == "buildkit":
        return "buildkit", element, index
    if parent in {"lxc", "lxc.payload"}:
        return "lxc", element, index
    return None


def _host_place(elements: list[str]) -> tuple[str, str | None]:
    for element in elements:
        if match := _SLURM_JOB.fullmatch(element):
            return "slurm", match[1]
    for element in elements:
        if _SESSION.fullmatch(element):
            return "session", element
        if _USER_SERVICE.fullmatch(element):
            return "user-service", elements[-1]
    if elements[:1] == ["system.slice"]:
        unit = next((e for e in elements[1:] if e.endswith((".service", ".scope"))), None)
        return "system-service", unit
    return "other", elements[-1] if elements else None


def _unescape(name: str) -> str:
    r"""Undo systemd's ``\x2d`` escapes."""
    return re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), name)
