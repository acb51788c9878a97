"""From the crontabs of a host to the jobs in them: named, judged and proved."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.cron import command as commands
from ds01ctl.cron import proof
from ds01ctl.cron.calendar import calendars
from ds01ctl.cron.crontab import Entry, Remark
from ds01ctl.cron.lint import lint
from ds01ctl.cron.naming import names
from ds01ctl.cron.parts import FOLDERS, Script, job, script
from ds01ctl.errors import Ds01Error
from ds01ctl.run import run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ds01ctl.commands.cron_sources import Host
    from ds01ctl.paths import Paths

_AT_ONCE = 40
_TIMEOUT_S = 60.0
_ANACRON = "/usr/sbin/anacron"


class Job(NamedTuple):
    """One line, and what is to become of it."""

    entry: Entry
    name: str
    """Of its units, without suffix."""
    warnings: tuple[Remark, ...]

    @property
    def is_made(self) -> bool:
        """A line that never runs gets no units."""
        return not (self.entry.schedule and self.entry.schedule.never_runs)


def jobs_of(host: Host, paths: Paths, *, with_folders: bool) -> tuple[Job, ...]:
    """Name and judge every line; with_folders: also the folders that no line runs."""
    entries = [entry for file in host.files for entry in file.crontab.entries]
    marks = [mark for file in host.files for mark in file.crontab.marks]
    has_anacron = os.access(paths.under(_ANACRON), os.X_OK)
    if with_folders and not has_anacron:
        called = {commands.run_parts(one.command) for one in entries}
        called |= {commands.run_parts(mark.text) for mark in marks}
        entries += [job(one) for one in FOLDERS if one not in called and _runs(paths, one)]
    named = zip(entries, names(entries, [mark.name for mark in marks]), strict=True)
    private = {file.source.place for file in host.files if file.is_private}
    return tuple(
        Job(
            entry,
            name,
            _warnings(entry, has_anacron=has_anacron, is_private=entry.file in private),
        )
        for entry, name in named
    )


def _warnings(entry: Entry, *, has_anacron: bool, is_private: bool) -> tuple[Remark, ...]:
    told = lint(entry)
    if is_private:
        what = (
            "the crontab is private, units are not: everybody can read this line and its settings"
        )
        told = (*told, Remark(entry.file, entry.line, None, what))
    if not entry.line:
        what = "no line of a crontab runs it, so nothing runs it today; the timer would"
        told = (*told, Remark(entry.file, None, None, what))
    if has_anacron and commands.leaves_to_anacron(entry.command):
        what = "does nothing while anacron is installed; nor will its timer"
        told = (*told, Remark(entry.file, entry.line or None, None, what))
    return told


def scripts_of(paths: Paths, folder: str) -> list[Script]:
    """List what lies in a folder of run-parts."""
    try:
        files = sorted(path for path in paths.under(folder).iterdir() if path.is_file())
    except OSError:
        return []
    found = []
    for path in files:
        if path.name.startswith("."):
            continue
        try:
            text = path.read_bytes()[:65536].decode(errors="replace")
        except OSError:
            text = ""
        found.append(script(path.name, is_executable=os.access(path, os.X_OK), text=text))
    return found


def _runs(paths: Paths, folder: str) -> bool:
    return any(one.runs for one in scripts_of(paths, folder))


def prove(jobs: Sequence[Job], base: datetime) -> dict[str, proof.Proof]:
    """Compare the next 1,000 firings of each line with its timer's, by name.

    A zone is left out: it moves the line and the timer alike.
    """
    base = base.replace(microsecond=0)
    asked = [(one, one.entry.schedule) for one in jobs if one.entry.schedule and one.is_made]
    wanted = [(one.name, text) for one, schedule in asked for text in calendars(schedule)]
    try:
        found = _elapses([text for _, text in wanted], base)
    except Ds01Error as error:
        return {one.name: proof.Proof(0, missing=error.message) for one, _ in asked}
    by_name: dict[str, list[list[datetime]]] = {}
    for (name, _), moments in zip(wanted, found, strict=True):
        by_name.setdefault(name, []).append(moments)
    return {
        one.name: proof.compare(schedule, by_name[one.name], base)
        for one, schedule in asked
        if schedule
    }


def _elapses(texts: Sequence[str], base: datetime) -> list[list[datetime]]:
    found: list[list[datetime]] = []
    for at in range(0, len(texts), _AT_ONCE):
        batch = texts[at : at + _AT_ONCE]
        done = run(proof.question(batch, base), timeout_s=_TIMEOUT_S, env=proof.ENVIRONMENT)
        answers = proof.answers(done.stdout)
        if done.status or len(answers) != len(batch):
            said = done.stderr.strip().splitlines()
            raise Ds01Error(said[-1] if said else "systemd-analyze gave no answer")
        found += answers
    return found
