"""`detect unmanaged --interactive`: numbered findings, and what to do about one."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.commands.gathering import utcnow
from ds01ctl.commands.shown import Shown
from ds01ctl.commands.who import admin
from ds01ctl.errors import Ds01Error, UsageError
from ds01ctl.report.text import clean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ds01ctl.core.plan import Finding, Result
    from ds01ctl.core.policy import Policy
    from ds01ctl.paths import Paths

    Looking = Callable[[], tuple[Result, Policy]]

# what an exemption from each kind of finding leaves alone
EXEMPTIBLE = {
    "unmanaged-container": "every unmanaged container",
    "host-gpu-process": "every GPU process outside containers",
}
_MENU = "NUMBER e(xplain), s(top command), x (exempt until a date); l(ist), r (look again), q(uit)"


class Session(NamedTuple):
    """One look at the host, and what may be done about it."""

    result: Result
    policy: Policy
    paths: Paths
    read_only: bool


def need_terminal() -> None:
    """Refuse to ask where nobody can answer. Raises UsageError."""
    if not sys.stdin.isatty():
        hint = "run it at a prompt, over ssh with -t; scripts use --json"
        raise UsageError("--interactive asks, and stdin is no terminal", hint)
    # what is typed in another encoding is no reason to end
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="replace")


def run(look: Looking, paths: Paths, *, read_only: bool) -> Shown:
    """Ask until the admin has seen enough. Nothing is stopped from here."""
    session = Session(*look(), paths, read_only)
    _list(session)
    while session.result.findings:
        answer = _ask(f"\n{_MENU}\n> ")
        if answer is None or answer in {"q", "quit"}:
            break
        try:
            if answer == "r":
                session = Session(*look(), paths, read_only)
            if answer in {"l", "r"}:
                _list(session)
            else:
                _answer(answer, session)
        except Ds01Error as error:
            print("\n".join(clean(line, 2000) for line in error.message.splitlines()))
    # a source that did not answer was shown; what was asked for, the session, went well
    return Shown(session.result._replace(failed_gaps=False), lambda: None)


def _list(session: Session) -> None:
    from ds01ctl.report import detect_table

    detect_table.print_result(session.result, explain=False, numbered=True)


def _ask(prompt: str) -> str | None:
    """Ask for a line; None at the end of the input."""
    try:
        return input(prompt).strip()
    except EOFError:
        print()
        return None


def _answer(answer: str, session: Session) -> None:
    """Do what ``3 e``, ``3e``, or ``3`` alone, which explains, ask for."""
    number = answer.rstrip("abcdefghijklmnopqrstuvwxyz ").strip()
    verb = answer[len(number) :].strip()[:1] or "e"
    if not number.isdecimal() or verb not in "esx":
        print(f"Answer like `1 e`: {_MENU}.")
        return
    findings = session.result.findings
    if not 1 <= int(number) <= len(findings):
        print(f"there is no row {int(number)} (1 to {len(findings)})")
        return
    _do(verb, findings[int(number) - 1], session)


def _do(verb: str, finding: Finding, session: Session) -> None:
    if verb == "e":
        from ds01ctl.report import finding_text

        print("\n".join(finding_text.lines(finding)))
    elif verb == "s":
        _offer(stop_command(finding, session.policy))
    elif session.read_only:
        print("This is a replay: the policy is not changed from it.")
    else:
        _exempt(finding, session)


def stop_command(finding: Finding, policy: Policy) -> str | None:
    """Write the command that would end what a finding is about; None where there is none.

    It names full identities: another container of the same name, or another process with the
    same pid, is not hit by it.
    """
    subject = finding.subject
    if subject["type"] == "process" and subject["start_ticks"] is not None:
        stat = f"/proc/{subject['pid']}/stat"
        # field 22 counted from behind the name, which may hold spaces and parentheses
        same = f"$(sed 's/.*) //' {stat} | cut -d' ' -f20)"
        return f'[ "{same}" = {subject["start_ticks"]} ] && kill -TERM {subject["pid"]}'
    if subject["type"] != "container" or not subject["engine"]:
        return None
    program = "podman" if "podman" in subject["engine"] else "docker"
    option = "--url" if program == "podman" else "--host"
    grace = _grace_s(finding, policy)
    host = shlex.quote(subject["engine"])
    return f"{program} {option} {host} stop --time {grace} {subject['id']}"


def _grace_s(finding: Finding, policy: Policy) -> int:
    setting = policy.limit(finding.user or "", "policies.sigterm_grace_s")
    return int(setting.value) if setting.value is not None else 60


def _offer(command: str | None) -> None:
    """Print a command, and put it on the clipboard of terminals that have OSC 52."""
    if command is None:
        print("There is no single thing to stop here; read the evidence (e).")
        return
    from base64 import b64encode

    print(command)
    if sys.stdout.isatty():
        print(f"\x1b]52;c;{b64encode(command.encode()).decode()}\x07", end="")
        print("(copied, if your terminal lets programs set the clipboard; nothing was run)")


def _exempt(finding: Finding, session: Session) -> None:
    """Write an exemption beside the policy file, after showing the change and asking."""
    from ds01ctl.config import edit

    policy = session.policy
    if refusal := _no_exemption(finding, policy):
        print(f"Can't exempt: {refusal}.")
        return
    if (until := _ask_date(finding)) is None or (reason := _ask_reason()) is None:
        print("Nothing was changed.")
        return
    fields: dict[str, str | list[str] | None] = {
        "username": finding.user,
        "category": "waiver",
        "exempt_from": [finding.kind],
        "reason": reason,
        "approved_by": admin(),
        "approved_on": _today().isoformat(),
        "expires_on": until.isoformat(),
    }
    change = edit.add_exemption(Path(policy.files[0]), fields)
    print("\n".join(clean(line, 500) for line in change.diff.splitlines()))
    if (_ask("write this? [y/N] ") or "").lower() not in {"y", "yes"}:
        print("Nothing was changed.")
        return
    change.write()
    print(f"Wrote {change.path}. It counts from the next look on (r).")
    _tell(finding, fields, change.path, session)


def _ask_date(finding: Finding) -> date | None:
    """Ask until when, and say what that would leave alone; None: cancelled, or no such date."""
    answer = _ask("exempt until (YYYY-MM-DD, that day included; empty cancels): ")
    if not answer:
        return None
    try:
        until = date.fromisoformat(answer)
    except ValueError:
        print("That is no date; write it like 2027-01-31.")
        return None
    if until < _today():
        print(f"{until} is in the past.")
        return None
    print(
        f"this leaves alone {EXEMPTIBLE[finding.kind]} of {clean(finding.user)}, "
        f"also future ones, until the end of {until}"
    )
    return until


def _ask_reason() -> str | None:
    return _ask("reason (empty cancels): ") or None


def _today() -> date:
    """Give the date here: an exemption ends at local midnight."""
    return utcnow().astimezone().date()


def _tell(
    finding: Finding,
    fields: Mapping[str, str | list[str] | None],
    file: Path,
    session: Session,
) -> None:
    """Leave an audit event: who exempted whom, from what, until when and why."""
    from ds01ctl.report import events
    from ds01ctl.report.detect_foot import gap_line

    until, admin = fields["expires_on"], fields["approved_by"]
    event = events.Event(
        "config.change",
        finding.user,
        "ds01ctl detect",
        {
            "file": str(file),
            "kind": finding.kind,
            "until": until,
            "approved_by": admin,
            "reason": fields["reason"],
        },
        f"{admin} exempted {finding.user} from {finding.kind} until {until}",
        priority=5,
    )
    paths = session.paths
    log = paths.under(str(session.policy.value("events.path")))
    for gap in events.append([event], log, paths.journal_socket, utcnow()):
        print(gap_line(gap))


def _no_exemption(finding: Finding, policy: Policy) -> str | None:
    if finding.kind not in EXEMPTIBLE:
        return f"only {' and '.join(EXEMPTIBLE)} can be exempted"
    if finding.user is None:
        return "nobody is known to own it"
    if not finding.subject["owner"]["corroborated"]:
        return (
            f"only a label or a name says that it belongs to {clean(finding.user)}, "
            "and an exemption never counts on that alone"
        )
    return None if policy.files else "there is no policy file (ds01ctl config init writes one)"
