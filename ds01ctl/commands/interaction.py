"""`detect unmanaged --interactive`: numbered findings, and what to do about one."""

from __future__ import annotations

import shlex
import sys
from datetime import date, datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from ds01ctl.commands.shown import Shown
from ds01ctl.report.text import clean

if TYPE_CHECKING:
    from ds01ctl.core.plan import Finding, Result
    from ds01ctl.core.policy import Policy

EXEMPTIBLE = frozenset({"unmanaged-container", "host-gpu-process"})
_MENU = "number, then e(xplain), s(top command), x (exempt until a date); q(uit)"


def run(result: Result, policy: Policy, *, read_only: bool) -> Shown:
    """Ask until the admin has seen enough. Nothing is stopped from here."""
    from ds01ctl.report import detect_table

    detect_table.print_findings(result, explain=False, numbered=True)
    while result.findings and (answer := _ask(f"\n{_MENU}\n> ")) not in {"q", "quit"}:
        finding, verb = _parse(answer, result)
        if finding is None:
            print(f"Answer like `1 e`: {_MENU}.")
        elif verb == "e":
            _explain(finding)
        elif verb == "s":
            _offer(stop_command(finding, policy))
        elif read_only:
            print("This is a replay: the policy is not changed from it.")
        else:
            _exempt(finding, policy)
    return Shown(result, lambda: None)


def _ask(prompt: str) -> str:
    try:
        return input(prompt).strip()
    except EOFError:
        return "q"


def _parse(answer: str, result: Result) -> tuple[Finding | None, str]:
    """Read ``3 e``, ``3e``, or ``3`` alone, which explains."""
    number = answer.rstrip("abcdefghijklmnopqrstuvwxyz ").strip()
    verb = answer[len(number) :].strip()[:1] or "e"
    if not number.isdecimal() or verb not in "esx" or not 1 <= int(number) <= len(result.findings):
        return None, ""
    return result.findings[int(number) - 1], verb


def _explain(finding: Finding) -> None:
    print(f"{finding.severity} {finding.kind}, user {clean(finding.user or 'unknown')}")
    for text in finding.evidence:
        print(f"  because: {clean(text, 500)}")
    for name, value in finding.subject.items():
        if value not in (None, [], {}):
            print(f"  {name}: {clean(value, 500)}")


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


def _exempt(finding: Finding, policy: Policy) -> None:
    """Write an exemption beside the policy file, after showing the change and asking."""
    from ds01ctl.config import edit

    if refusal := _no_exemption(finding, policy):
        print(f"Can't exempt: {refusal}.")
        return
    try:
        until = date.fromisoformat(_ask("exempt until (YYYY-MM-DD, that day included): "))
    except ValueError:
        print("That is no date; write it like 2027-01-31. Nothing was changed.")
        return
    change = edit.add_exemption(
        Path(policy.files[0]),
        {
            "username": finding.user,
            "category": "waiver",
            "exempt_from": [finding.kind],
            "reason": _ask("reason: ") or "set with ds01ctl detect --interactive",
            "approved_by": _admin(),
            "approved_on": datetime.now(timezone.utc).date().isoformat(),
            "expires_on": until.isoformat(),
        },
    )
    print("\n".join(clean(line, 500) for line in change.diff.splitlines()))
    if _ask("write this? [y/N] ").lower() not in {"y", "yes"}:
        print("Nothing was changed.")
        return
    change.write()
    print(f"Wrote {change.path}. It counts from the next run on.")


def _no_exemption(finding: Finding, policy: Policy) -> str | None:
    if finding.kind not in EXEMPTIBLE:
        return f"only {' and '.join(sorted(EXEMPTIBLE))} can be exempted"
    if finding.user is None:
        return "nobody is known to own it"
    if not finding.subject["owner"]["corroborated"]:
        return (
            f"only a label or a name says that it belongs to {clean(finding.user)}, "
            "and an exemption never counts on that alone"
        )
    return None if policy.files else "there is no policy file (ds01ctl config init writes one)"


def _admin() -> str:
    """Name the admin behind sudo."""
    import os
    import pwd

    uid = int(os.environ.get("SUDO_UID") or os.getuid())
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
