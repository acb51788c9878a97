"""Say where a process lives from the path of its control group.

Path elements are compared, never substrings: ``docker.service`` is the daemon, not a container.
Sources: runc and systemd naming, podman, containerd, kubelet, lxc and Slurm cgroup layouts.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from ds01ctl.core.record import NamedTuple

Home = Literal["container", "host"]

# what stands before the 64 hexadecimal digits of an id, alone or in a .scope
_ID_PREFIXES = {
    "docker-": "docker",
    "libpod-": "podman",
    "cri-containerd-": "containerd",
    "crio-": "cri-o",
    "nerdctl-": "nerdctl",
}
# runc with the cgroupfs driver given a systemd-style path: PARENT.slice:PREFIX:ID
_COLON_PREFIXES = {"docker": "docker", "cri-containerd": "containerd", "nerdctl": "nerdctl"}
# what stands around the name of a container or machine that has no id
_NAMED = (
    ("lxc.payload.", "", "lxc"),
    ("systemd-nspawn@", ".service", "nspawn"),
    (r"machine-qemu\x2d", ".scope", "libvirt"),
    ("machine-", ".scope", "nspawn"),
)
_ID_LENGTH = 64
_HEX = frozenset("0123456789abcdef")
# patterns are compiled at their first use: most hosts never need most of them
_POD = r"(?:kubepods-(?:\w+-)?)?pod([0-9a-f][0-9a-f_-]{30,})(?:\.slice)?"
_RUNTIME_OF_PARENT = {"docker": "docker", "default": "nerdctl", "k8s.io": "containerd"}
_USER_SLICE = r"user-(\d+)\.slice"
_USER_SERVICE = r"user@(\d+)\.service"
_SESSION = r"session-\w+\.scope"
_SLURM_UID = r"uid_(\d+)"
_SLURM_JOB = r"job_(\d+)"


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


@lru_cache(maxsize=4096)
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
    pod = next((pod for e in above if (pod := _pod(e))), None)
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


def _pod(element: str) -> str | None:
    """Read the id of a pod from its slice's or folder's name."""
    # here and below: a pattern costs ten times what looking for a word in it does
    match = re.fullmatch(_POD, element) if "pod" in element else None
    return match[1] if match else None


def _first_uid(elements: list[str]) -> int | None:
    for element in elements:
        if not element.startswith(("user", "uid_")):
            continue
        match = (
            re.fullmatch(_USER_SLICE, element)
            or re.fullmatch(_USER_SERVICE, element)
            or re.fullmatch(_SLURM_UID, element)
        )
        if match:
            return int(match[1])
    return None


def _container_at(elements: list[str], index: int) -> tuple[str, str, int] | None:
    """Recognise a container at one element: runtime, id or name, depth."""
    element = elements[index]
    parent = elements[index - 1] if index else ""
    if found := _with_id(element, parent):
        in_pod = any(map(_pod, elements[:index]))
        return "kubernetes" if in_pod else found[0], found[1], index
    if parent == "buildkit":
        return "buildkit", element, index
    if parent in {"lxc", "lxc.payload"}:
        return "lxc", element, index
    for prefix, suffix, runtime in _NAMED:
        if element.startswith(prefix) and element.endswith(suffix):
            name = element[len(prefix) : len(element) - len(suffix)]
            return (runtime, _unescape(name), index) if name else None
    return None


def _with_id(element: str, parent: str) -> tuple[str, str] | None:
    """Read ``PREFIX-ID.scope``, ``PREFIX-ID``, ``PARENT:PREFIX:ID`` and an id alone."""
    if len(element) < _ID_LENGTH:
        return None
    bare = element.removesuffix(".scope")
    head, name = bare[:-_ID_LENGTH], bare[-_ID_LENGTH:]
    if not _HEX.issuperset(name):
        return None
    if not head:
        return None if bare != element else (_RUNTIME_OF_PARENT.get(parent, "docker"), name)
    if head in _ID_PREFIXES:
        return _ID_PREFIXES[head], name
    parts = head.split(":")
    if len(parts) == 3 and parts[0] and not parts[2] and parts[1] in _COLON_PREFIXES:
        return _COLON_PREFIXES[parts[1]], name
    return None


def _host_place(elements: list[str]) -> tuple[str, str | None]:
    for element in elements:
        if match := re.fullmatch(_SLURM_JOB, element):
            return "slurm", match[1]
    for element in elements:
        if re.fullmatch(_SESSION, element):
            return "session", element
        if re.fullmatch(_USER_SERVICE, element):
            return "user-service", elements[-1]
    if elements[:1] == ["system.slice"]:
        unit = next((e for e in elements[1:] if e.endswith((".service", ".scope"))), None)
        return "system-service", unit
    return "other", elements[-1] if elements else None


def _unescape(name: str) -> str:
    r"""Undo systemd's ``\x2d`` escapes."""
    if "\\x" not in name:
        return name
    return re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), name)
