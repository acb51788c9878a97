"""Judge each container and each host process: what made it, and whether that is in order."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ds01ctl.core.cgroup_path import Place, classify, is_below
from ds01ctl.core.gpu_access import gpu_access
from ds01ctl.core.owner import (
    UNKNOWN,
    Owner,
    People,
    owner_of_container,
    owner_of_process,
    owner_of_strangers,
)
from ds01ctl.core.subjects import short
from ds01ctl.core.workload import Kind, Verdict, Workload, origin, platform_label

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from ds01ctl.core.model import Container, GpuUse, Process, Snapshot
    from ds01ctl.core.policy import Policy

# made by programs that have no engine to ask
_NEVER_OF_AN_ENGINE = frozenset({"lxc", "nspawn", "libvirt"})
MPS_SERVER = "nvidia-cuda-mps-server"


class Judge:
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
        self._slice = people.slice_name
        self._slices_in_force = bool(policy.value("enforcement.aggregate_limits"))
        self._system_executables = frozenset(policy.value("detect.system_executables"))
        self._infrastructure = tuple(policy.value("monitoring.infrastructure_containers") or ())
        self._infrastructure_label = policy.value("monitoring.infrastructure_label")
        # a policy that never was exempts nobody; one that can't be read may exempt anybody
        self._leave_unread = any(
            gap.source == "policy" and gap.kind != "absent" for gap in snapshot.gaps
        )
        self._somebody_is_exempt = bool(policy.bare_metal or policy.exemptions or snapshot.grants)
        self._users_engines = {one.host for one in snapshot.engines if one.is_users_own}
        self._admins = {"root", *(policy.value("access_control.admin_users") or ())}

    # --- containers ---

    def of_container(self, container: Container, pids: Iterable[int]) -> Workload:
        """Make the workload of a container that an engine lists, with its GPU processes."""
        processes = self._processes(pids)
        snapshot = self._snapshot
        owner = owner_of_container(container, processes, snapshot, self._people)
        access = gpu_access(container.config, snapshot.gpus) if container.config else None
        managed, why = self._is_managed(container)
        kind: Kind = "managed" if managed else origin(container)
        verdict: Verdict = "unknown" if managed is None else "managed" if managed else "unmanaged"
        evidence = list(self._label_evidence(container, managed=managed is not False))
        if self._is_infrastructure(container, owner):
            kind, verdict = "infrastructure", "infrastructure"
            why = "its name is in monitoring.infrastructure_containers"
        elif managed is False and (leave := self._exemption(owner, "unmanaged-container")):
            verdict, why = leave
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

    def _is_managed(self, container: Container) -> tuple[bool | None, str]:
        """Judge by the platform's labels, which count only where its slice agrees.

        None: it claims to be, and what would prove it could not be read.
        """
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
            where = f"runs in {short(container.cgroup)}, not under {self._slice}"
            return False, f"label {label}, but {where}"
        if container.is_live:
            return None, f"label {label}; its cgroup could not be read"
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
        """Compare with the configured names; compose adds a number to them."""
        stem = re.sub(r"[-_.]\d{1,4}$", "", name)
        return name in self._infrastructure or stem in self._infrastructure

    def _is_infrastructure(self, container: Container, owner: Owner) -> bool:
        """Judge by the configured name; one that a student took for his own work is not."""
        if container.engine in self._users_engines or not self._named_infrastructure(
            container.name
        ):
            return False
        # the uid that an image runs as names nobody here
        if owner.login is None or owner.rule == "user inside":
            return True
        return owner.confidence != "guess" and (owner.login in self._admins or owner.uid == 0)

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
        elif leave := self._exemption(owner, "unmanaged-container"):
            verdict, why = leave
        uses = self._uses_of(pids)
        return Workload("unknown", verdict, why, owner, place, None, None, processes, uses)

    def _engine_may_know(self, place: Place) -> bool:
        """Tell whether an engine of the host's that is silent now could know a container.

        A user's own engine makes no container a managed one: its silence hides nothing.
        """
        if place.uid is not None or place.runtime in _NEVER_OF_AN_ENGINE:
            return False
        host_engines = [engine for engine in self._snapshot.engines if not engine.is_users_own]
        if not host_engines:
            return self._snapshot.lacks("docker") or not self._snapshot.engines
        return any(
            not engine.answered and ("podman" in engine.host) == (place.runtime == "podman")
            for engine in host_engines
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
        if process.state in {"Z", "X"}:
            # the kernel has taken it out of its control group
            return "unknown", "dead; where it ran can't be told"
        if self._is_system(process, place):
            if process.exe is None:
                return "unknown", f"uid 0 in unit {place.id}; its executable could not be read"
            return "system", f"uid 0, {process.exe}, unit {place.id}"
        if self._serves_known_clients(process, uses):
            return "system", "MPS server; its clients are judged one by one"
        leave = self._bare_metal_leave(owner) or self._exemption(owner, "host-gpu-process")
        return leave or ("unmanaged", f"runs on the host: {_where(place)}")

    def _is_system(self, process: Process, place: Place) -> bool:
        """Verify all three: uid 0, a listed executable, a unit in system.slice."""
        return (
            process.uid == 0
            and (process.exe is None or process.exe in self._system_executables)
            and place.runtime == "system-service"
            and (place.id or "").endswith(".service")
        )

    def _serves_known_clients(self, process: Process, uses: Sequence[GpuUse]) -> bool:
        if (process.exe or "").rpartition("/")[2] != MPS_SERVER:
            return False
        # in a mount namespace of his own, a user may put his program at any path
        if process.exe not in self._system_executables or process.uid_map:
            return False
        gpus = {use.gpu_uuid for use in uses}
        return any(use.type == "M" and use.gpu_uuid in gpus for use in self._snapshot.uses)

    def _bare_metal_leave(self, owner: Owner) -> tuple[Verdict, str] | None:
        if owner.login is None or not owner.corroborated:
            return None
        if origin := self._policy.bare_metal_exempt(owner.login):
            return "exempt", f"{owner.login} is in bare_metal_access.exempt_users ({origin})"
        for grant in self._snapshot.grants:
            if grant.user == owner.login and (
                grant.expires_at is None or grant.expires_at > self._now
            ):
                until = (
                    f"until {grant.expires_at:%Y-%m-%d %H:%MZ}" if grant.expires_at else "for ever"
                )
                return "exempt", f"bare-metal grant of {owner.login} {until} ({grant.file})"
        return None

    def _exemption(self, owner: Owner, what: str) -> tuple[Verdict, str] | None:
        """Find an exemption, or say that there may be one; on mere words there is none."""
        if owner.login is None or not owner.corroborated:
            return None
        if exemption := self._policy.exemption(owner.login, what, self._now):
            return "exempt", f"{owner.login} is exempt ({exemption.origin})"
        # grants are leave to use the host, and say nothing of containers
        if self._leave_unread and (what == "host-gpu-process" or not self._policy.files):
            return "unknown", "who is exempt could not be read"
        if self._is_nameless(owner) and self._somebody_is_exempt:
            return "unknown", f"uid {owner.uid} may be exempt: its name could not be looked up"
        return None

    def _is_nameless(self, owner: Owner) -> bool:
        return owner.uid not in self._snapshot.users and self._snapshot.lacks("users")

    def _processes(self, pids: Iterable[int]) -> tuple[Process, ...]:
        known = self._snapshot.processes
        return tuple(known[pid] for pid in sorted(pids) if pid in known)

    def _uses_of(self, pids: Iterable[int]) -> tuple[GpuUse, ...]:
        return tuple(use for pid in sorted(pids) for use in self._uses.get(pid, ()))


def _where(place: Place) -> str:
    names = {
        "session": "login session",
        "user-service": "service of the user's own",
        "system-service": "system service",
        "slurm": "Slurm job",
    }
    return f"{names.get(place.runtime, 'cgroup')} {place.id or '/'}"
