"""What `doctor` does once its options are read: gather, judge, show."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.commands import gathering
from ds01ctl.commands.shown import Shown
from ds01ctl.core import doctor
from ds01ctl.core.host_facts import HostFacts, PolicyFacts, StoreFacts, Unread
from ds01ctl.core.plan import Result
from ds01ctl.core.policy import builtin_policy
from ds01ctl.core.storage import folders_of
from ds01ctl.errors import ExitCode

if TYPE_CHECKING:
    from ds01ctl.core.doctor_row import Row
    from ds01ctl.core.policy import Policy
    from ds01ctl.paths import Paths

_TOLD = frozenset({"warning", "problem"})
_QUIET = frozenset({"ok", "not-here"})


class Wish(NamedTuple):
    """What the admin asked to see."""

    only: tuple[str, ...] = ()
    config: Path | None = None
    is_short: bool = False


class _Read(NamedTuple):
    """The policy to go by, and what is wrong with the one that is there."""

    policy: Policy
    facts: PolicyFacts


def run(wish: Wish, *, as_json: bool, exit_on_problems: bool) -> Shown:
    """Look at the host once."""
    paths = gathering.host_paths()
    read = _read_policy(paths, wish.config)
    now = gathering.utcnow()
    rows = doctor.decide(gather_host(paths, read), read.policy, now, wish.only)
    gaps = doctor.gaps(rows)
    chosen = [row for row in rows if not (wish.is_short and row.state in _QUIET)]
    data = {
        "areas": sorted(wish.only),
        "counts": doctor.counts(rows),
        "checks": [_object(row) for row in chosen],
    }
    result = Result(
        "doctor", os.uname().nodename, now, gaps, data=data, failed_gaps=gathering.is_failure(gaps)
    )
    found = any(row.state in _TOLD for row in rows)
    code = ExitCode.FINDINGS if exit_on_problems and found else ExitCode.OK

    def render() -> None:
        from ds01ctl.report import doctor_text

        doctor_text.print_result(result)

    return Shown(result, render, as_json, exit_code=code)


def _object(row: Row) -> dict[str, Any]:
    return {
        "area": row.area,
        "check": row.check,
        "state": row.state,
        "found": row.found,
        "why": row.why,
        "fix": row.fix,
        "needs_reboot": row.needs_reboot,
    }


def gather_host(paths: Paths, read: _Read) -> HostFacts:
    """Read every source once; NVML in a child, from the start."""
    from ds01ctl.observe import (
        host_commands,
        host_disk,
        host_docker,
        host_gpu,
        host_own,
        host_systemd,
        host_watch,
        nvml,
    )

    policy = read.policy
    with nvml.start() as child:
        commands = host_commands.read(paths)
        docker = host_docker.read(paths, policy, commands.get("dockerd", []))
        systemd, clock = host_systemd.read(paths), host_systemd.clock(paths)
        reading = nvml.collect(child, deadline_s=float(policy.value("nvml.timeout_s")), paths=paths)
    data_root = "/var/lib/docker" if isinstance(docker.engine, Unread) else docker.engine.data_root
    homes = tuple(map(str, policy.value("users.home_dirs") or ()))
    folders = (*homes, data_root, "/scratch", *folders_of(policy))
    return HostFacts(
        systemd=systemd,
        docker=docker,
        gpu=host_gpu.read(reading, paths),
        disk=host_disk.read(paths, folders),
        metrics=host_watch.metrics(paths, policy, commands.get("node_exporter", [])),
        logs=host_watch.logs(paths, policy),
        units=host_watch.units(paths),
        clock=clock,
        own=host_own.read(paths),
        store=_store(paths),
        policy=read.facts,
        access=host_own.access(paths),
    )


def _read_policy(paths: Paths, explicit: Path | None) -> _Read:
    """Read the policy; one that is wrong is a line of the report, and the built-in one is used.

    Raises Ds01Error where a file was named that is not there.
    """
    from ds01ctl.config.read import PolicyError, find_policy, load_policy
    from ds01ctl.observe.host_own import policy_files

    path = find_policy(paths, explicit, os.environ)
    if path is None:
        return _Read(builtin_policy(), PolicyFacts(None, (), (), is_denied=False, files=()))
    try:
        policy = load_policy(path, paths)
    except PolicyError as error:
        told = (tuple(map(str, error.problems)), tuple(map(str, error.warnings)))
        files = policy_files((str(path), *error.files))
        facts = PolicyFacts(str(path), *told, is_denied=error.is_denied, files=files)
        return _Read(builtin_policy(), facts)
    warnings = tuple(map(str, policy.warnings))
    files = policy_files((str(path), *policy.files))
    return _Read(policy, PolicyFacts(str(path), (), warnings, is_denied=False, files=files))


def _store(paths: Paths) -> StoreFacts:
    """Open the state store to look, and read its schema version."""
    from ds01ctl.state import MIGRATIONS
    from ds01ctl.store import StateError, Store

    path, newest = paths.state_db, len(MIGRATIONS)
    try:
        if not path.exists() or not path.stat().st_size:
            return StoreFacts(str(path), Unread("absent", f"{path}: not there"), newest)
        store = Store(path, "read")
        try:
            return StoreFacts(str(path), store.version(newest), newest)
        finally:
            store.close()
    except StateError as error:
        return StoreFacts(str(path), Unread(error.kind, error.message), newest)
    except OSError as error:
        denied = isinstance(error, PermissionError)
        reason = f"{path}: {error.strerror}"
        return StoreFacts(str(path), Unread("denied" if denied else "failed", reason), newest)
