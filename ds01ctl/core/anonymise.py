"""Make a snapshot that may be shown to strangers, and from which the same is decided.

The same, that is, under a policy that names nobody: a stand-in is in no group, and exempt from
nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ds01ctl.core.mask_gpus import gpu_names, without_gpu_names
from ds01ctl.core.pseudonyms import Pseudonyms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ds01ctl.core.model import (
        Container,
        ContainerConfig,
        Engine,
        Gpu,
        GpuUse,
        Process,
        Snapshot,
    )

_SIMPLE = re.compile(r"[\w.:,+=-]{0,64}", re.ASCII)
_UID_ELEMENT = re.compile(r"(user-|user@|uid_)(\d{1,10})(\.slice|\.service|)")
_USER_SLICE = re.compile(r"((?:[^-]+-){2,})([^-]+)(\.slice)")
_NAMED_CONTAINER = re.compile(r"(lxc\.payload\.|systemd-nspawn@|machine-)(.+?)(\.scope|\.service|)")
_SYSTEM_SLICES = ("kubepods", "system-", "machine-", "user-", "app-")
_WITH_ID = re.compile(r"[0-9a-f]{64}(\.scope)?\Z")
_DELETED = " (deleted)"
_HEX = re.compile(r"[0-9a-f]{12}")
_PLAIN_ELEMENTS = frozenset(
    """app.slice session.slice background.slice user.slice init.scope . .. lxc lxc.payload buildkit
    docker default k8s.io""".split()  # noqa: SIM905 -- ten lines as a list
) | {""}
_DISTRIBUTION = ("/usr/bin/", "/usr/sbin/", "/usr/lib/", "/usr/libexec/", "/bin/", "/sbin/")
"""Programs below these were installed by the system: their paths tell nothing of people."""
_NAMESPACES = ("ds01.", "aime.mlc", "devcontainer.", "com.docker.", "hub.jupyter.org/")
"""Of labels whose keys are known; in others a key may say as much as a value."""


def anonymise(snapshot: Snapshot, keep: Iterable[str] = ()) -> Snapshot:
    """Replace logins, uids, the host's name, container names and ids, images, homes and UUIDs.

    ``keep`` has the names of infrastructure containers, by which the policy knows them.
    """
    logins = {**{login: uid for uid, login in snapshot.users.items()}, **snapshot.uids}
    ranges = {r for process in snapshot.processes.values() for r in process.uid_map}
    gpus = [uuid for g in snapshot.gpus for uuid in (g.uuid, *(d.uuid for d in g.mig_devices))]
    names = Pseudonyms(snapshot.host, logins, sorted(ranges), gpus)
    mask = _Mask(names, tuple(keep))
    # the first pass meets every name, so that the second finds them in free text as well
    mask.snapshot(snapshot)
    names.seen_all()
    return mask.snapshot(snapshot)


class _Mask:
    """Goes through a snapshot and puts the stand-ins in."""

    def __init__(self, names: Pseudonyms, keep: tuple[str, ...]) -> None:
        self._names = names
        self._keep = keep

    def snapshot(self, seen: Snapshot) -> Snapshot:
        """Replace everything in a snapshot."""
        n = self._names
        gpus = tuple(self._gpu(gpu) for gpu in seen.gpus)
        for container in seen.containers:
            # whole ids first, so that their beginnings are known for what they are
            n.id(container.id)
        return seen._replace(
            host=n.host(seen.host),
            boot_id="00000000-0000-0000-0000-000000000000",
            euid=n.uid(seen.euid),
            driver=seen.driver._replace(error=self._text(seen.driver.error)),
            gpus=gpus,
            uses=tuple(self._use(use) for use in seen.uses),
            processes={pid: self._process(process) for pid, process in seen.processes.items()},
            unreadable={pid: n.text(why) for pid, why in seen.unreadable.items()},
            dead=tuple(self._use(use) for use in seen.dead),
            device_holders={n.gpu(uuid): pids for uuid, pids in seen.device_holders.items()},
            gpu_denied={n.id(c): tuple(map(n.path, d)) for c, d in seen.gpu_denied.items()},
            engines=tuple(self._of_engine(engine) for engine in seen.engines),
            containers=tuple(self._container(container) for container in seen.containers),
            users={n.uid(uid): n.login(login) for uid, login in seen.users.items()},
            uids={n.login(login): n.uid(uid) for login, uid in seen.uids.items()},
            path_owners={n.path(path): n.uid(uid) for path, uid in seen.path_owners.items()},
            grants=tuple(
                g._replace(user=n.login(g.user), file=n.path(g.file)) for g in seen.grants
            ),
            gaps=tuple(gap._replace(reason=n.text(gap.reason)) for gap in seen.gaps),
        )

    def _text(self, text: str | None) -> str | None:
        """Replace the names in a driver's words; its constants stay."""
        is_constant = text is None or re.fullmatch(r"[A-Z0-9_]+", text)
        return text if text is None or is_constant else self._names.text(text)

    def _gpu(self, gpu: Gpu) -> Gpu:
        uuid = self._names.gpu(gpu.uuid)
        devices = tuple(d._replace(uuid=self._names.gpu(d.uuid)) for d in gpu.mig_devices)
        return gpu._replace(uuid=uuid, error=self._text(gpu.error), mig_devices=devices)

    def _use(self, use: GpuUse) -> GpuUse:
        mig = None if use.mig_uuid is None else self._names.gpu(use.mig_uuid)
        return use._replace(gpu_uuid=self._names.gpu(use.gpu_uuid), mig_uuid=mig)

    def _process(self, process: Process) -> Process:
        n = self._names
        exe = process.exe
        if exe and not exe.startswith(_DISTRIBUTION):
            exe = n.path(exe)
        return process._replace(
            comm=self._comm(process),
            uid=n.uid(process.uid),
            loginuid=None if process.loginuid is None else n.uid(process.loginuid),
            exe=exe,
            cmdline=None,
            cgroup=None if process.cgroup is None else self._cgroup(process.cgroup),
            uid_map=tuple(self._uid_range(*line) for line in process.uid_map),
        )

    def _comm(self, process: Process) -> str:
        """Keep the name of a program that is installed; people's own have names of their own."""
        exe = process.exe or ""
        is_same = exe.startswith(_DISTRIBUTION) or exe == self._names.path(exe)
        is_installed = is_same and exe.split("/")[-1].startswith(process.comm)
        if is_installed or process.uid == self._names.uid(process.uid):
            return self._names.words(process.comm)
        return self._names.word("program", process.comm)

    def _uid_range(self, inside: int, outside: int, length: int) -> tuple[int, int, int]:
        if length > 1:
            # whose it is shows only in the ids of subordinate users, which have no names
            return inside, outside, length
        return self._names.uid(inside), self._names.uid(outside), length

    def _of_engine(self, engine: Engine) -> Engine:
        uid = None if engine.uid is None else self._names.uid(engine.uid)
        return engine._replace(host=self._engine(engine.host), uid=uid)

    def _engine(self, host: str) -> str:
        scheme, separator, rest = host.partition("://")
        name = self._names.path(rest) if scheme == "unix" else self._names.word("engine", rest)
        # which program it is shows in the address alone
        mark = "-podman" if "podman" in host and "podman" not in name else ""
        return f"{scheme}{separator}{name}{mark}"

    def _container(self, container: Container) -> Container:
        n = self._names
        return container._replace(
            engine=self._engine(container.engine),
            id=n.id(container.id),
            name=self._name(container.name),
            image=n.word("image", container.image),
            labels=self._labels(container.labels),
            mounts=tuple(
                m._replace(source=n.path(m.source), destination=n.path(m.destination))
                for m in container.mounts
            ),
            cgroup=None if container.cgroup is None else self._cgroup(container.cgroup),
            config=self._config(container.config) if container.config else None,
        )

    def _name(self, name: str) -> str:
        # compose adds a number
        known = name in self._keep or re.sub(r"[-_.]\d{1,4}$", "", name) in self._keep
        return name if known else self._names.container_name(name)

    def _config(self, config: ContainerConfig) -> ContainerConfig:
        n = self._names
        return without_gpu_names(config, n)._replace(
            cgroup_parent=self._cgroup(config.cgroup_parent),
            user=":".join(n.login(part) for part in config.user.split(":")),
            pid_mode=self._pid_mode(config.pid_mode),
            health_command=(),
        )

    def _pid_mode(self, mode: str) -> str:
        kind, separator, which = mode.partition(":")
        if not separator:
            return mode
        is_id = re.fullmatch(r"[0-9a-f]{12,64}", which)
        return f"{kind}:{self._names.id(which) if is_id else self._name(which)}"

    # --- labels: what those of the platform mean, they go on meaning ---

    def _labels(self, labels: Mapping[str, str]) -> dict[str, str]:
        return {self._label_key(key): self._label(key, labels[key]) for key in labels}

    def _label_key(self, key: str) -> str:
        """Replace a key; a container may be called like a part of one that is known."""
        if key in _KNOWN_KEYS:
            return key
        namespace = next((name for name in _NAMESPACES if key.startswith(name)), None)
        if namespace is None:
            return self._names.word("label", key)
        return namespace + self._names.words(key[len(namespace) :])

    def _label(self, key: str, value: str) -> str:
        for keys, rule in self._label_rules():
            if key in keys:
                return rule(value)
        return self._names.word("value", value) if value else value

    def _label_rules(self) -> tuple[tuple[frozenset[str], Callable[[str], str]], ...]:
        n = self._names
        return (
            (_LOGIN_LABELS, n.login),
            (_PLAIN_LABELS, self._plain),
            (_GPU_LABELS, lambda value: gpu_names(value, n)),
            (_PATH_LABELS, n.path),
            (_NAME_LABELS, self._name),
            (_IMAGE_LABELS, lambda value: n.word("image", value)),
            (_SLICE_LABELS, self._cgroup),
        )

    def _plain(self, value: str) -> str:
        if value.lower() == "true" or value == "api":
            return value
        is_simple = all(_SIMPLE.fullmatch(part) for part in value.split(","))
        return self._names.words(value) if is_simple else self._names.word("value", value)

    # --- control groups ---

    def _cgroup(self, path: str) -> str:
        deleted = _DELETED if path.endswith(_DELETED) else ""
        elements = path.removesuffix(_DELETED).split("/")
        made = [
            self._element(element, before, below_user=any("user@" in e for e in elements[:index]))
            for index, (before, element) in enumerate(
                zip(["", *elements[:-1]], elements, strict=True)
            )
        ]
        return "/".join(made) + deleted

    def _element(self, element: str, before: str, *, below_user: bool) -> str:
        n = self._names
        if element in _PLAIN_ELEMENTS:
            return element
        if match := _UID_ELEMENT.fullmatch(element):
            return f"{match[1]}{n.uid(int(match[2]))}{match[3]}"
        if not element.startswith(_SYSTEM_SLICES) and (match := _USER_SLICE.fullmatch(element)):
            return f"{match[1]}{n.slice_user(match[2])}{match[3]}"
        if match := _NAMED_CONTAINER.fullmatch(element):
            return f"{match[1]}{n.word('name', match[2])}{match[3]}"
        if before in {"lxc", "lxc.payload", "buildkit"} and not _WITH_ID.search(element):
            return n.word("name", element)
        # a unit below the user's own manager has a name of the user's own, a container an id
        suffix = next((s for s in (".slice", ".scope", ".service") if element.endswith(s)), "")
        if below_user and not _HEX.search(element):
            return n.word("unit", element) + suffix
        return n.words(element.removesuffix(suffix)) + suffix


def _ds01(names: str) -> set[str]:
    return {f"ds01.{name}" for name in names.split()}


def _aime(names: str) -> set[str]:
    return {f"aime.mlc.{name}" for name in names.split()}


_LOGIN_LABELS = frozenset(
    _ds01("user username user_id group_id owner")
    | _aime("USER DS01_USERNAME DS01_USER_ID DS01_GROUP_ID")
    | {"aime.mlc", "hub.jupyter.org/username"}
)
_PLAIN_LABELS = frozenset(
    _ds01(
        "managed interface container_type arch framework mlc_version created_at gpus gpu.slots"
        " gpu.allocated_at gpu.priority gpu_ephemeral protected has_user_setup monitoring component"
        " managed_by"
    )
    | _aime("ARCH FRAMEWORK GPUS MLC_VERSION DS01_MANAGED DS01_TYPE DS01_FRAMEWORK DS01_CREATED")
    | _aime("DS01_HAS_USER_SETUP")
)
_GPU_LABELS = frozenset(_ds01("gpu.uuid gpu.uuids gpu.allocated gpu_slot"))
_PATH_LABELS = frozenset(
    _ds01("workspace work_mount data_mount models_mount")
    | _aime("WORK_MOUNT DATA_MOUNT MODELS_MOUNT DS01_WORKSPACE")
    | {"devcontainer.local_folder", "com.docker.compose.project.working_dir"}
)
_NAME_LABELS = frozenset(_ds01("name container_name") | _aime("NAME DS01_CONTAINER"))
_IMAGE_LABELS = frozenset(_ds01("image custom_image") | _aime("CUSTOM_IMAGE DS01_IMAGE"))
_SLICE_LABELS = frozenset({"ds01.slice"})
_KNOWN_KEYS = (
    _LOGIN_LABELS
    | _PLAIN_LABELS
    | _GPU_LABELS
    | _PATH_LABELS
    | _NAME_LABELS
    | _IMAGE_LABELS
    | _SLICE_LABELS
    | {"com.docker.compose.project"}
)
