"""What `units failed UNIT` does, run by ds01-failure@.service: tell of a failure, once.

It must work when little else does: with a policy that cannot be used, without the state store, with
a full disk. It touches neither the store nor any other job's lock.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.commands import gathering
from ds01ctl.commands.mailing import sender_of, server_of
from ds01ctl.commands.watching_units import NAME, first_of
from ds01ctl.core import failure as told
from ds01ctl.core.failure import Failure, Streak
from ds01ctl.core.model import Gap
from ds01ctl.core.plan import Action, Result
from ds01ctl.core.policy import Policy, builtin_policy
from ds01ctl.errors import Ds01Error, UsageError
from ds01ctl.files import write_atomic
from ds01ctl.jobs import JOBS, scheduled
from ds01ctl.observe import journal, systemd
from ds01ctl.unitfiles.files import UNIT_DIR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ds01ctl.commands.installing import Asked
    from ds01ctl.paths import Paths

SOURCE = "ds01ctl units"
LINES = 20
_TEXT_MAX = 300


class Case(NamedTuple):
    """One failure, and what is needed to tell of it."""

    asked: Asked
    failure: Failure
    policy: Policy
    policy_problem: str | None
    mail_to: tuple[str, ...]
    streak: Streak
    env: Mapping[str, str]


def failed(asked: Asked, unit: str, env: Mapping[str, str]) -> Result:
    """Write the event and send the mail that are due. Raises UsageError for what is no unit."""
    stem = unit.removesuffix(".service")
    if not NAME.fullmatch(unit) or stem in {"", ".", ".."}:
        raise UsageError(f"{unit!a}: not the name of a unit", "give it like ds01-detect")
    policy, problem = _policy(asked)
    seen, gaps = _failure(asked, f"{stem}.service", env)
    place = asked.paths.run_dir / f"failed-{stem}.json"
    streak = told.advance(_read_streak(place), asked.now, told.quiet_of(_every_s(stem, policy)))
    to = _recipients(asked.paths, seen.unit, policy)
    case = Case(asked, seen, policy, problem, to, streak, env)
    streak, event, event_gaps = _tell(case)
    # before the mail is sent: what cannot be remembered would be mailed at every run
    tried = asked.now if to and streak.mail_is_due(asked.now) else streak.tried_at
    kept = _keep(place, streak._replace(tried_at=tried), asked.paths)
    mail = _mail(case, is_remembered=not kept)
    if mail and mail.outcome == "done":
        done = streak._replace(mailed_at=asked.now, tried_at=None)
        kept = (*kept, *_keep(place, done, asked.paths))
    every_gap = (*gaps, *event_gaps, *kept)
    actions = tuple(one for one in (event, mail) if one)
    return Result(
        "units failed",
        asked.host,
        asked.now,
        every_gap,
        (),
        actions,
        _data(case),
        failed_gaps=gathering.is_failure((*event_gaps, *kept)),
    )


def _data(case: Case) -> dict[str, Any]:
    failure = case.failure
    return {
        "unit": failure.unit,
        "result": failure.result,
        "result_in_words": failure.in_words,
        "status": failure.status,
        "invocation": failure.invocation,
        "last_error": failure.last_error,
        "lines": list(failure.lines),
        "failures": case.streak.failures,
        "failing_since": case.streak.began_at,
        "mail_to": list(case.mail_to),
        "policy_problem": case.policy_problem,
    }


def _policy(asked: Asked) -> tuple[Policy, str | None]:
    """Read the policy; one that cannot be used may be the very reason of the failure."""
    try:
        return gathering.load_policy(asked.paths, asked.config).policy, None
    except Ds01Error as error:
        return _sound_part(asked), first_of(error)


def _sound_part(asked: Asked) -> Policy:
    """Take of a policy that cannot be used the sections without a problem, `mail` not least."""
    from ds01ctl.config import read

    try:
        path = read.find_policy(asked.paths, asked.config, os.environ)
        return Policy(host=read.sound_settings(path)) if path else builtin_policy()
    except Ds01Error:
        return builtin_policy()


def _every_s(stem: str, policy: Policy) -> int | None:
    jobs = scheduled(policy.value)
    return next((job.every_s for job in (*jobs, *JOBS) if job.unit == stem), None)


# --- what happened ------------------------------------------------------------------------------


def _failure(asked: Asked, unit: str, env: Mapping[str, str]) -> tuple[Failure, tuple[Gap, ...]]:
    """Take systemd's word from the environment (since 251), else ask it; and read the journal."""
    failure = Failure(unit, asked.now)
    gaps: tuple[Gap, ...] = ()
    if env.get("MONITOR_SERVICE_RESULT") and env.get("MONITOR_UNIT", unit) == unit:
        failure = failure._replace(
            result=env["MONITOR_SERVICE_RESULT"],
            status=env.get("MONITOR_EXIT_STATUS") or None,
            invocation=env.get("MONITOR_INVOCATION_ID") or None,
        )
    else:
        failure, gaps = _ask(failure, asked.paths)
    if not failure.invocation:
        return failure, gaps
    lines, more = journal.read([failure.invocation], LINES)
    failure = failure._replace(
        lines=tuple(line.text for line in lines[-LINES:]),
        last_error=journal.last_error(lines, failure.invocation),
    )
    return failure, (*gaps, *more)


def _ask(failure: Failure, paths: Paths) -> tuple[Failure, tuple[Gap, ...]]:
    units, gaps = systemd.read([failure.unit], paths)
    if not units:
        return failure, gaps
    state = units[failure.unit]
    status = None if state.exit_status is None else str(state.exit_status)
    return failure._replace(result=state.result, status=status, invocation=state.invocation), gaps


# --- the row of failures ------------------------------------------------------------------------


def _read_streak(place: Path) -> Streak | None:
    try:
        return told.load(place.read_text(encoding="utf-8"))
    except (OSError, UnicodeError):
        return None


def _keep(place: Path, streak: Streak, paths: Paths) -> tuple[Gap, ...]:
    try:
        paths.run_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_atomic(place, told.dump(streak), mode=0o600)
    except OSError as error:
        kind = "denied" if isinstance(error, PermissionError) else "failed"
        return (Gap("memory", kind, f"{place}: {error.strerror}"),)  # type: ignore[arg-type]  # of two words
    return ()


# --- telling ------------------------------------------------------------------------------------


def _tell(case: Case) -> tuple[Streak, Action | None, tuple[Gap, ...]]:
    """Write the event, where one is due."""
    from ds01ctl.report import events

    now, streak = case.asked.now, case.streak
    if not streak.event_is_due(now):
        return streak, None, ()
    log = case.asked.paths.under(str(case.policy.value("events.path")))
    gaps = events.append([_event(case)], log, case.asked.paths.journal_socket, now)
    lost = next((gap.reason for gap in gaps if not gap.reason.startswith("journal")), None)
    outcome = Action("write-event", str(log), "a job failed", "failed" if lost else "done", lost)
    return (streak if lost else streak._replace(told_at=now)), outcome, gaps


def _event(case: Case) -> Any:
    from ds01ctl.report.events import Event

    failure = case.failure
    details: dict[str, Any] = {
        "unit": failure.unit,
        "result": failure.result,
        "status": failure.status,
        "invocation": failure.invocation,
        "failures": case.streak.failures,
        "last_error": (failure.last_error or "")[:_TEXT_MAX] or None,
    }
    if case.policy_problem:
        details["policy_problem"] = case.policy_problem[:_TEXT_MAX]
    why = f": {details['last_error']}" if details["last_error"] else ""
    message = f"{failure.unit} failed: {failure.in_words}{why}"
    return Event("health.fail", None, SOURCE, details, message, 3)


def _recipients(paths: Paths, unit: str, policy: Policy) -> tuple[str, ...]:
    """Find who is told: whom the unit's file names, else whom the policy names."""
    try:
        text = paths.under(f"{UNIT_DIR}/{unit}").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = None
    named = told.mail_to(text)
    return tuple(policy.value("mail.to") or ()) if named is None else named


def _mail(case: Case, *, is_remembered: bool) -> Action | None:
    """Send the mail, where there is somebody to send it to and it is due."""
    if not case.mail_to or not case.streak.mail_is_due(case.asked.now):
        return None
    target = ", ".join(case.mail_to)
    if not is_remembered:
        why = "that it was sent could not be remembered, and it would be sent at every run"
        return Action("send-mail", target, "a job failed", "failed", why)
    try:
        _send(case)
    except Ds01Error as error:
        return Action("send-mail", target, "a job failed", "failed", error.message)
    return Action("send-mail", target, "a job failed", "done")


def _send(case: Case) -> None:
    from ds01ctl.act import mail
    from ds01ctl.report import failure_text

    host = case.asked.host
    sender = sender_of(case.policy, host)
    for address in (*case.mail_to, sender):
        if not told.is_mailable(address):
            raise Ds01Error(f"{address!a}: cannot stand in a mail as it is", "see `mail:`")
    body = failure_text.body(case.failure, case.streak, host, case.policy_problem)
    subject = failure_text.subject(case.failure, host)
    letter = mail.Letter(case.mail_to, sender, subject, body, host, case.asked.now)
    mail.send(letter, server_of(case.policy, case.asked.paths, case.env))
