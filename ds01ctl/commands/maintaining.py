"""What the `state` commands do: look at the state store, and keep it small, whole and copied."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl import storecare
from ds01ctl.commands.own_run import own_run
from ds01ctl.core.keeping import Stale, Stored, stale
from ds01ctl.core.plan import Action, Result
from ds01ctl.errors import Ds01Error, ExitCode
from ds01ctl.jobs import JOBS
from ds01ctl.lock import job_lock
from ds01ctl.state import MIGRATIONS, State, StateError
from ds01ctl.store import Store, cannot_open

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.paths import Paths

JOB = "state"
_SHORT_WAIT_MS = 500
"""While the log is folded in, nobody can write: rather not today than for seconds."""


class Asked(NamedTuple):
    """What the state commands are asked on."""

    paths: Paths
    host: str
    now: datetime

    @property
    def store(self) -> Path:
        """Name the store."""
        return self.paths.state_db

    @property
    def backup(self) -> Path:
        """Name its copy, beside it."""
        return self.store.with_name(f"{self.store.name}.backup")


def check(asked: Asked) -> Result:
    """Look at the store without writing. Raises Ds01Error for one that is not whole."""
    data: dict[str, Any] = {"file": str(asked.store), "exists": _exists(asked.store)}
    if data["exists"]:
        _refuse_broken(asked)
        with closing(Store(asked.store, "read")) as store:
            data |= _facts(store, asked.store)
    data["backup"] = _backup(asked)
    return Result("state check", asked.host, asked.now, data=data)


def _exists(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
    except OSError as error:
        raise cannot_open(path, error) from None


def _facts(store: Store, path: Path) -> dict[str, Any]:
    size = storecare.size(store, path)
    version = store.version(len(MIGRATIONS))
    jobs: dict[str, Any] = {}
    if version:
        rows = store.rows("SELECT job, succeeded_at FROM jobs ORDER BY job")
        jobs = {job: datetime.fromisoformat(at) for job, at in rows}
    return {
        "schema_version": version,
        "newest_schema_version": len(MIGRATIONS),
        "size_bytes": size.size_bytes,
        "free_share": round(size.free_pages / size.pages, 3) if size.pages else None,
        "rows": storecare.row_counts(store),
        "last_success": jobs,
    }


def _backup(asked: Asked) -> dict[str, Any] | None:
    try:
        found = asked.backup.stat()
    except OSError:
        return None
    written = datetime.fromtimestamp(found.st_mtime, timezone.utc)
    return {"file": str(asked.backup), "size_bytes": found.st_size, "written_at": written}


def _refuse_broken(asked: Asked) -> None:
    """Raise Ds01Error for a store that is not whole, with the way back."""
    try:
        with closing(Store(asked.store, "read")) as store:
            store.version(len(MIGRATIONS))
            found = storecare.problems(store)
    except StateError as error:
        if not error.is_damage:
            raise
        found = [error.message.removeprefix(f"{asked.store}: ")]
    if found:
        told = "\n".join(f"{asked.store}: {problem}" for problem in found)
        data = {"file": str(asked.store), "problems": found, "backup": _backup(asked)}
        raise Ds01Error(told, _way_back(asked), data)


def _way_back(asked: Asked) -> str:
    """Say how to go back to the copy, or on without one."""
    folder, name = asked.store.parent, asked.store.name
    away = f'cd {folder} && for e in "" -wal -shm; do mv -f {name}$e {name}.broken$e; done'
    if _backup(asked) is None:
        return f"there is no copy; to begin anew, as root: {away}"
    return f"to go back to the copy, as root: {away}; cp -p {asked.backup.name} {name}"


def maintain(asked: Asked) -> Result:
    """Check, tidy and copy the store; what the daily job runs.

    Raises Ds01Error for a store that is not whole: it and its copy are left alone then.
    """
    began = time.monotonic()
    with job_lock(asked.paths, JOB):
        # first of all: it may be what fills the disk
        storecare.sweep(asked.backup)
        if _exists(asked.store):
            _refuse_broken(asked)
        with State.open_for_recording(asked.paths) as state:
            actions = [*_tidy(asked, state), *_compact(asked)]
            actions.append(_copy(asked))
            failed = any(action.outcome == "failed" for action in actions)
            with state.transaction():
                if not failed:
                    state.note_success(JOB, asked.now)
                code = ExitCode.PARTIAL if failed else ExitCode.OK
                state.note_run(JOB, own_run(began, code))
        with closing(Store(asked.store, "read")) as store:
            data = {"file": str(asked.store), **_facts(store, asked.store)}
    data["backup"] = _backup(asked)
    return Result("state maintain", asked.host, asked.now, actions=tuple(actions), data=data)


def _tidy(asked: Asked, state: State) -> Iterator[Action]:
    """Drop what is past keeping, in one short transaction."""
    with state.transaction():
        old = _stale(state, asked.now)
        if old:
            state.drop(old)
    for table, count in old.counts.items():
        if count:
            reason = f"{count} {'row' if count == 1 else 'rows'} about what is gone for weeks"
            yield Action("drop-rows", table, reason, "done")


def _stale(state: State, now: datetime) -> Stale:
    runs = {job: run.ended_at for job, run in state.last_runs().items()}
    stored = Stored(
        state.answer_times(), state.known_inventory(), list(state.known_findings()), runs
    )
    return stale(stored, (job.name for job in JOBS), now)


def _compact(asked: Asked) -> Iterator[Action]:
    """Fold the log into the store, and write a small one anew where a quarter of it is free."""
    with closing(Store(asked.store, "write")) as store:
        store.run(f"PRAGMA busy_timeout = {_SHORT_WAIT_MS}")
        store.run("PRAGMA optimize")
        store.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        size = storecare.size(store, asked.store)
        if not size.is_loose:
            return
        share = f"{size.free_pages / size.pages:.0%} of it was free"
        try:
            store.run("VACUUM")
        except StateError as error:
            yield Action("compact", str(asked.store), share, "failed", error.message)
        else:
            yield Action("compact", str(asked.store), share, "done")


def _copy(asked: Asked) -> Action:
    reason = "to go back to when it breaks"
    try:
        storecare.copy(asked.store, asked.backup)
    except StateError as error:
        told = f"{error.message}; {error.hint}" if error.hint else error.message
        return Action("copy", str(asked.backup), reason, "failed", told)
    return Action("copy", str(asked.backup), reason, "done")
