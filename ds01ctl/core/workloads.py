"""Join GPU processes, control groups, containers and owners into one inventory of workloads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from ds01ctl.core.cgroup_path import Place, classify, is_below, is_within
from ds01ctl.core.gpu_access import GpuAccess, gpu_access
from ds01ctl.core.owner import (
    UNKNOWN,
    Owner,
    People,
    owner_of_container,
    owner_of_process,
    owner_of_strangers,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from ds01ctl.core.model import Container, GpuUse, Process, Snapshot
    from ds01ctl.core.policy import Policy

Kind = Literal[
    "managed",
    "devcontainer",
    "compose",
    "jupyter",
    "api",
    "docker",
    "infrastructure",
    "unknown",
    "host-process",
]
Verdict = Literal["managed", "unmanaged", "exempt", "infrastructure", "system", "unknown"]
# made by programs that have no engine to ask
_NEVER_OF_AN_ENGINE = frozenset({"lxc", "nspawn", "libvirt"})
MPS_SERVER = "nvidia-cuda-mps-server"


class Workload(NamedTuple):
    """One container, known or not, or one process on the host."""

    kind: Kind
    verdict: Verdict
    why: str
    """The reason for the verdict, in words."""
    owner: Owner
    place: Place | None
    container: Container | None = None
    access: GpuAccess | None = None
    """What the container was given; None: not a container, or not known."""
    processes: tuple[Process, ...] = ()
    uses: tuple[GpuUse, ...] = ()
    evidence: tuple[str, ...] = ()

    @property
    def has_gpu(self) -> bool:
        """Has access to a GPU, or uses one."""
        return bool(self.uses or (self.access and self.access.forms))

    @property
    def since(self) -> datetime | None:
        """When it began."""
        if self.container:
            return self.container.started_at or self.container.created_at
        return min((process.started_at for process in self.processes), default=None)


def workloads(snapshot: Snapshot, policy: Policy, now: datetime) -> tuple[Workload, ...]:
    """Build the inventory: every container, and every host process that uses a GPU."""
    uses: dict[int, list[GpuUse]] = {}
    for use in snapshot.uses:
        uses.setdefault(use.pid, []).append(use)
    pids = _sort(uses, snapshot)
    made = _Maker(snapshot, policy, People(snapshot, policy.roster), now, uses)
    return (
        *(
            made.of_container(one, pids.by_container.get((one.engine, one.id), ()))
            for one in snapshot.containers
        ),
        *(made.of_stranger(inside) for inside in pids.strangers.values()),
        *(made.of_process(pid) for pid in pids.loose),
    )


class _Pids(NamedTuple):
    """GPU processes by where they live."""

    by_container: dict[tuple[str, str], list[int]]
    strangers: dict[tuple[str, str | None, int | None], list[int]]
    """In containers that no engine knows, by runtime, id and user."""
    loose: list[int]
    """On the host, or where that can't be told. One that has exited is nowhere."""


def _sort(pids: Iterable[int], snapshot: Snapshot) -> _Pids:
    known: dict[str, list[Container]] = {}
    for one in snapshot.containers:
        known.setdefault(one.id, []).append(one)
    homes = _Pids({}, {}, [])
    for pid in pids:
        place, container = _home(snapshot.processes.get(pid), known)
        if container:
            homes.by_container.setdefault((container.engine, container.id), []).append(pid)
        elif place and place.home == "container":
            homes.strangers.setdefault((place.runtime, place.id, place.uid), []).append(pid)
        elif pid in snapshot.processes or pid in snapshot.unreadable:
            homes.loose.append(pid)
    return homes


def _home(
    process: Process | None, known: Mapping[str, Sequence[Container]]
) -> tuple[Place | None, Container | None]:
    """Find a process's place and its container."""
    if process is None or process.cgroup is None:
        return None, None
    place = classify(process.cgroup)
    if place.home == "host" or place.id is None:
        return place, None
    for container in known.get(place.id, ()):
        # a user may create a cgroup named like another's container below his own: compare paths
        if container.cgroup is None or is_within(process.cgroup, container.cgroup):
            return place, container
    return place, None


class _Maker:
    """Make workloads out of one snapshot under one policy."""

    def __init__(
        self,
        snapshot: Snapshot,
        policy: Policy,
        people: People,
        now: datetime,
        uses: Mapping[int, Sequence[GpuUse]],
    ) -> None:
        self._snapshot = snapshot
        self._policy = policy
        self._people = people
        self._now = now
        self._uses = uses
        self._slice = str(policy.value("platform.slice"))
        self._slices_in_force = bool(policy.value("enforcement.aggregate_limits"))
        self._system_executables = frozenset(policy.value("detect.system_executables"))
        self._infrastructure = tuple(policy.value("monitoring.infrastructure_containers") or ())
        self._infrastructure_label = policy.value("monitoring.infrastructure_label")
        self._users_engines = {one.host for one in snapshot.engines if one.is_users_own}
        self._admins = {"root", *(policy.value("access_control.admin_users") or ())}

    # --- containers ---

    def of_container(self, container: Container, pids: Iterable[int]) -> Workload:
        processes = self._processes(pids)
        snapshot = self._snapshot
        owner = owner_of_container(container, processes, snapshot, self._people)
        access = gpu_access(container.config, snapshot.gpus) if container.config else None
        managed, why = self._is_managed(container)
        kind: Kind = "managed" if managed else origin(container)
        verdict: Verdict = "managed" if managed else "unmanaged"
        evidence = list(self._label_evidence(container, managed=managed))
        if self._is_infrastructure(container, owner):
            kind, verdict = "infrastructure", "infrastructure"
            why = "its name is in monitoring.infrastructure_containers"
        elif not managed and (reason := self._exemption(owner, "unmanaged-container")):
            verdict, why = "exempt", reason
        return Workload(
            kind,
            verdict,
            why,
            owner,
            classify(container.cgroup) if container.cgroup else None,
            container,
            access,
            processes,
            self._uses_of(pids),
            tuple(evidence),
        )

    def _is_managed(self, container: Container) -> tuple[bool, str]:
        """Judge by the platform's labels, which count only where its slice agrees."""
        label = platform_label(container.labels)
        if label is None:
            return False, "no label of the platform (ds01.managed, aime.mlc)"
        if container.engine in self._users_engines:
            return False, f"label {label}, but a user's own engine runs it"
        if not self._slices_in_force:
            return True, f"label {label}; slices are not enforced here"
        if container.cgroup is not None:
            if is_below(container.cgroup, self._slice):
                return True, f"label {label}, and runs under {self._slice}"
            where = f"runs in {container.cgroup}, not under {self._slice}"
            return False, f"label {label}, but {where}"
        if container.is_live:
            return True, f"label {label}; its cgroup could not be read"
        parent = container.config.cgroup_parent if container.config else ""
        stem = self._slice.removesuffix(".slice")
        if parent and parent != self._slice and not parent.startswith(f"{stem}-"):
            return False, f"label {label}, but made for cgroup parent {parent}"
        return True, f"label {label}; not running"

    def _label_evidence(self, container: Container, *, managed: bool) -> Iterator[str]:
        if not managed and platform_label(container.labels):
            yield "a label alone does not make a container managed"
        label = self._infrastructure_label
        if label and label in container.labels and not self._named_infrastructure(container.name):
            yield (
                f"label {label} claims infrastructure, but its name is not in "
                "monitoring.infrastructure_containers"
            )

    def _named_infrastructure(self, name: str) -> bool:
        return any(
            name == known or name.startswith((f"{known}-", f"{known}_", f"{known}."))
            for known in self._infrastructure
        )

    def _is_infrastructure(self, container: Container, owner: Owner) -> bool:
        """Judge by the configured name; one that a student took for his own work is not."""
        if container.engine in self._users_engines:
            return False
        own = owner.login is None or owner.login in self._admins or owner.uid == 0
        return own and self._named_infrastructure(container.name)

    def of_stranger(self, pids: Sequence[int]) -> Workload:
        """Make the workload of a container that no engine we asked knows."""
        processes = self._processes(pids)
        cgroup = processes[0].cgroup or "/"
        place = classify(cgroup)
        owner = owner_of_strangers(place, processes, self._people)
        why = f"runs in a {place.runtime} container that no engine in docker.hosts knows"
        verdict: Verdict = "unmanaged"
        if self._engine_may_know(place):
            verdict, why = "unknown", "the container engine did not answer"
        elif reason := self._exemption(owner, "unmanaged-container"):
            verdict, why = "exempt", reason
        uses = self._uses_of(pids)
        return Workload("unknown", verdict, why, owner, place, None, None, processes, uses)

    def _engine_may_know(self, place: Place) -> bool:
        """Tell whether an engine that is silent now could know a container.

        A user's own engine could know only what runs below that user's slice: by hanging it
        hides nothing else.
        """
        silent = [engine for engine in self._snapshot.engines if not engine.answered]
        if not self._snapshot.engines:
            return self._snapshot.lacks("docker")
        return any(
            engine.uid == place.uid
            if engine.is_users_own
            else place.uid is None and place.runtime not in _NEVER_OF_AN_ENGINE
            for engine in silent
        )

    # --- host processes ---

    def of_process(self, pid: int) -> Workload:
        """Make the workload of a process outside all containers, or of one that can't be placed."""
        process = self._snapshot.processes.get(pid)
        uses = self._uses_of([pid])
        if process is None or process.cgroup is None:
            why = self._snapshot.unreadable.get(pid, "its cgroup could not be read")
            owner = UNKNOWN
            if process:
                owner = owner_of_process(process, Place("host", "other"), self._people)
            seen = (process,) if process else ()
            return Workload("unknown", "unknown", why, owner, None, None, None, seen, uses)
        place = classify(process.cgroup)
        owner = owner_of_process(process, place, self._people)
        verdict, why = self._judge_process(process, place, owner, uses)
        return Workload("host-process", verdict, why, owner, place, None, None, (process,), uses)

    def _judge_process(
        self, process: Process, place: Place, owner: Owner, uses: Sequence[GpuUse]
    ) -> tuple[Verdict, str]:
        if self._is_system(process, place):
            return "system", f"uid 0, {process.exe}, unit {place.id}"
        if self._serves_known_clients(process, uses):
            return "system", "MPS server; its clients are judged one by one"
        if reason := self._bare_metal_leave(owner) or self._exemption(owner, "host-gpu-process"):
            return "exempt", reason
        return "unmanaged", f"runs on the host: {_where(place)}"

    def _is_system(self, process: Process, place: Place) -> bool:
        """Verify all three: uid 0, a listed executable, a unit in system.slice."""
        return (
            process.uid == 0
            and process.exe in self._system_executables
            and place.runtime == "system-service"
            and (place.id or "").endswith(".service")
        )

    def _serves_known_clients(self, process: Process, uses: Sequence[GpuUse]) -> bool:
        if (process.exe or "").rpartition("/")[2] != MPS_SERVER:
            return False
        if process.exe not in self._system_executables:
            return False
        gpus = {use.gpu_uuid for use in uses}
        return any(use.type == "M" and use.gpu_uuid in gpus for use in self._snapshot.uses)

    def _bare_metal_leave(self, owner: Owner) -> str | None:
        if owner.login is None:
            return None
        if origin := self._policy.bare_metal_exempt(owner.login):
            return f"{owner.login} is in bare_metal_access.exempt_users ({origin})"
        for grant in self._snapshot.grants:
            if grant.user == owner.login and (
                grant.expires_at is None or grant.expires_at > self._now
            ):
                until = (
                    f"until {grant.expires_at:%Y-%m-%d %H:%MZ}" if grant.expires_at else "for ever"
                )
                return f"bare-metal grant of {owner.login} {until} ({grant.file})"
        return None

    def _exemption(self, owner: Owner, what: str) -> str | None:
        """Find an exemption; on the word of labels and names alone there is none."""
        if owner.login is None or not owner.corroborated:
            return None
        exemption = self._policy.exemption(owner.login, what, self._now)
        return f"{owner.login} is exempt ({exemption.origin})" if exemption else None

    def _processes(self, pids: Iterable[int]) -> tuple[Process, ...]:
        known = self._snapshot.processes
        return tuple(known[pid] for pid in sorted(pids) if pid in known)

    def _uses_of(self, pids: Iterable[int]) -> tuple[GpuUse, ...]:
        return tuple(use for pid in sorted(pids) for use in self._uses.get(pid, ()))


def platform_label(labels: Mapping[str, str]) -> str | None:
    """Find the label by which the platform, old or new, marks what it made."""
    for label in ("ds01.managed", "aime.mlc.DS01_MANAGED"):
        if labels.get(label, "").lower() == "true":
            return f"{label}=true"
    return next((label for label in ("aime.mlc.USER", "aime.mlc") if labels.get(label)), None)


def origin(container: Container) -> Kind:
    """Tell what made a container that the platform did not."""
    labels = container.labels
    declared = {labels.get("ds01.interface"), labels.get("ds01.container_type")}
    if any(key.startswith("devcontainer.") for key in labels) or container.name.startswith(
        ("vsc-", "vscode-")
    ):
        return "devcontainer"
    if "com.docker.compose.project" in labels:
        return "compose"
    if "hub.jupyter.org/username" in labels or container.name.startswith("jupyter-"):
        return "jupyter"
    return "api" if "api" in declared else "docker"


def _where(place: Place) -> str:
    names = {
        "session": "login session",
        "user-service": "service of the user's own",
        "system-service": "system service",
        "slurm": "Slurm job",
    }
    return f"{names.get(place.runtime, 'cgroup')} {place.id or '/'}"
