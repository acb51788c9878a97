"""One of cron and the timer runs a line: never both, never neither, wherever it is cut short."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ds01ctl.commands.cron_edit import replace_lines
from ds01ctl.commands.giving_back import give_back
from ds01ctl.commands.handover import Clock
from ds01ctl.commands.importing_cron import import_cron
from ds01ctl.commands.taking_over import take_over
from ds01ctl.core.plan import Result
from ds01ctl.errors import Ds01Error, UsageError
from ds01ctl.report.cron_text import hand_over_lines, import_lines
from tests.cron.conftest import AT_ONCE, CronHost

CRONTAB = "# mine\n\nA=1\n0 4 * * *\troot\t/opt/a  --b\n*/5 * * * * root /opt/b\n"


def install(host: CronHost) -> dict[str, str]:
    """Write the units of all crontabs; give their names by command."""
    rows = import_cron(host.asked, out=host.unit_dir).data["lines"]
    return {row["command"]: row["unit"] for row in rows}


def take(host: CronHost, *names: str, everything: bool = False, dry_run: bool = False) -> Result:
    return take_over(
        host.asked,
        names,
        everything=everything,
        dry_run=dry_run,
        is_live=True,
        clock=AT_ONCE,
    )


def give(host: CronHost, *names: str, everything: bool = False, dry_run: bool = False) -> Result:
    return give_back(
        host.asked,
        names,
        everything=everything,
        dry_run=dry_run,
        is_live=True,
        clock=AT_ONCE,
    )


def runners(host: CronHost, path: Path, line: str, name: str) -> list[str]:
    """Tell who would run a line at its next time: cron by its file, the timer if not guarded."""
    lines = path.read_bytes().decode(errors="replace").split("\n") if path.exists() else []
    found = ["cron"] * lines.count(line)
    service = (host.unit_dir / f"{name}.service").read_text()
    condition = re.search(
        r'^ExecCondition=\+/bin/sh -c "(.*?[^\\])" sh "(.*)" /\S+$', service, re.MULTILINE
    )
    assert condition
    script, wanted = (
        part.replace('\\"', '"').replace("$$", "$").replace("\\x09", "\t")
        for part in condition.groups()
    )
    guard = subprocess.run(
        ["/bin/sh", "-c", script, "sh", wanted, str(path)], stderr=subprocess.DEVNULL, check=False
    )
    if f"{name}.timer" in host.active and guard.returncode == 0:
        found.append("timer")
    return found


def test_there_and_back_leaves_every_byte(host: CronHost) -> None:
    path = host.write("etc/crontab", CRONTAB.encode() + b"# caf\xe9\n  # last, unended")
    path.chmod(0o640)
    before = (path.read_bytes(), path.stat().st_mode, path.stat().st_uid)
    names = install(host)
    name = names["/opt/a  --b"]
    result = take(host, f"{name}.timer")
    assert [action.outcome for action in result.actions] == ["done"] * 3
    assert host.active == host.enabled == [f"{name}.timer"]
    assert path.read_bytes() == before[0].replace(
        b"0 4 * * *\troot", f"#ds01ctl {name}.timer: 0 4 * * *\troot".encode()
    )
    assert path.stat().st_mode == before[1]
    give(host, name)
    assert (path.read_bytes(), path.stat().st_mode, path.stat().st_uid) == before
    assert host.active == host.enabled == []
    assert host.reloads == 0


def test_the_plan_comes_first(host: CronHost) -> None:
    path = host.write("etc/crontab", CRONTAB)
    name = install(host)["/opt/b"]
    result = take(host, name, dry_run=True)
    assert hand_over_lines(result) == [
        f"planned: enable {name}.timer: it is started at boot",
        f"planned: start {name}.timer: its service waits until the line is out of cron",
        "planned: comment-out /etc/crontab:5: its timer runs it from now on",
    ]
    assert path.read_text() == CRONTAB
    assert host.calls == []


@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("kills", [False, True])
@pytest.mark.parametrize("command", ["take", "give"])
def test_cut_short_at_any_step(host: CronHost, call: int, command: str, kills: bool) -> None:
    line = "*/5 * * * * root /opt/b"
    path = host.write("etc/crontab", CRONTAB)
    name = install(host)["/opt/b"]
    if command == "give":
        take(host, name)
    host.fail_at(call, kills=kills)
    argv = [sys.executable, "-m", "tests.cron.driver", str(host.root), command, name]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    reached = call < 3
    assert done.returncode == ((-signal.SIGKILL if kills else 1) if reached else 0), done.stderr
    if command == "take" and kills and call == 2:
        # the dangerous moment: the timer runs and cron has the line
        assert host.active == [f"{name}.timer"]
    assert len(runners(host, path, line, name)) == 1
    # run it again and it is complete
    host.fail_at(0)
    (take if command == "take" else give)(host, name)
    assert runners(host, path, line, name) == ["timer" if command == "take" else "cron"]
    assert host.active == host.enabled == ([f"{name}.timer"] if command == "take" else [])


def test_a_failure_leaves_the_line_to_cron_and_goes_on_with_the_next(host: CronHost) -> None:
    path = host.write("etc/crontab", CRONTAB)
    names = install(host)
    host.fail_at(2)
    result = take(host, everything=True)
    assert result.status == "partial"
    assert [action.outcome for action in result.actions] == ["failed"] * 3 + ["done"] * 3
    assert "told so by the test" in str(result.actions[0].error)
    assert runners(host, path, "0 4 * * *\troot\t/opt/a  --b", names["/opt/a  --b"]) == ["cron"]
    assert runners(host, path, "*/5 * * * * root /opt/b", names["/opt/b"]) == ["timer"]


def test_a_crontab_that_cannot_be_written_keeps_its_line(host: CronHost) -> None:
    path = host.write("etc/crontab", CRONTAB)
    name = install(host)["/opt/b"]
    (host.root / f"etc/.crontab.{os.getpid()}.part").mkdir()
    result = take(host, name)
    assert {action.outcome for action in result.actions} == {"failed"}
    assert "cannot be changed" in str(result.actions[0].error)
    assert path.read_text() == CRONTAB
    assert host.active == host.enabled == []


def test_other_lines_may_change_meanwhile(host: CronHost) -> None:
    path = host.write("etc/crontab", CRONTAB)
    name = install(host)["/opt/b"]
    take(host, name)
    path.write_text("B=2\n1 1 * * * root new\n" + path.read_text() + "# end\n")
    give(host, name)
    assert path.read_text() == "B=2\n1 1 * * * root new\n" + CRONTAB + "# end\n"


def test_a_marked_line_that_was_changed_is_shown_and_left(host: CronHost) -> None:
    path = host.write("etc/crontab", CRONTAB)
    names = install(host)
    take(host, everything=True)
    changed = path.read_text().replace("root /opt/b", "root /opt/other")
    path.write_text(changed)
    with pytest.raises(Ds01Error, match="was changed by hand; nothing was given back") as caught:
        give(host, names["/opt/b"])
    assert f"/etc/crontab:5: #ds01ctl {names['/opt/b']}.timer: " in caught.value.message
    assert path.read_text() == changed
    assert len(host.active) == 2
    # it holds no other line back
    result = give(host, everything=True)
    assert result.status == "partial"
    assert [action.outcome for action in result.actions] == ["done", "done", "done", "failed"]
    assert "was changed by hand: /etc/crontab:5: #ds01ctl" in str(result.actions[-1].error)
    assert "\n0 4 * * *\troot\t/opt/a  --b\n" in path.read_text()
    assert host.active == [f"{names['/opt/b']}.timer"]
    # twice the same mark: which is it?
    path.write_text(CRONTAB)
    take(host, names["/opt/b"])
    path.write_text(path.read_text() + path.read_text().splitlines()[-1] + "\n")
    with pytest.raises(Ds01Error, match="changed by hand"):
        give(host, names["/opt/b"])


def test_lines_that_are_all_the_same_go_together(host: CronHost) -> None:
    """A service looks for its line in the crontab: it can't tell one from the other."""
    text = "0 4 * * * root a\n0 4 * * * root a\n0 4 * * * root b\n"
    path = host.write("etc/crontab", text)
    names = [row["unit"] for row in import_cron(host.asked, out=host.unit_dir).data["lines"]]
    take(host, names[1])
    assert host.active == sorted(f"{name}.timer" for name in names[:2])
    marks = re.findall(
        r"^#ds01ctl (\S+)\.timer: 0 4 \* \* \* root a$", path.read_text(), re.MULTILINE
    )
    assert marks == names[:2]
    assert path.read_text().endswith("\n0 4 * * * root b\n")
    give(host, names[0])
    assert path.read_text() == text
    assert host.active == host.enabled == []


def test_a_users_own_crontab(host: CronHost) -> None:
    path = host.user_crontab("alice", "0 9 * * 1-5 mail joe%hello%\n@reboot ~/start\n")
    before = (path.read_bytes(), path.stat().st_mode)
    os.utime(path.parent, (0, 0))
    names = install(host)
    take(host, everything=True)
    # cron looks at the folder's time, and trusts no other mode
    assert path.parent.stat().st_mtime > 0
    assert path.stat().st_mode & 0o7777 == 0o600
    # a timer of @reboot that is started now would run the job now
    assert host.active == [f"{names['mail joe']}.timer"]
    assert len(host.enabled) == 2
    take(host, names["~/start"])
    assert host.active == [f"{names['mail joe']}.timer"]
    give(host, everything=True)
    assert (path.read_bytes(), path.stat().st_mode) == before
    assert host.active == host.enabled == []


def test_a_link_in_cron_d_stays_one(host: CronHost) -> None:
    real = host.write("opt/site/crontab", "0 4 * * * root c\n")
    link = host.root / "etc/cron.d/site"
    link.symlink_to(real)
    install(host)
    take(host, everything=True)
    assert link.is_symlink()
    assert real.read_text().startswith("#ds01ctl ds01-cron-site-c-")


def test_a_crontab_with_a_problem_is_left_alone(host: CronHost) -> None:
    host.write("etc/crontab", CRONTAB)
    names = install(host)
    dos = host.write("etc/cron.d/dos", "0 4 * * * root c\r\n")
    result = take(host, everything=True)
    assert sorted(host.active) == sorted(f"{name}.timer" for name in names.values())
    assert dos.read_bytes() == b"0 4 * * * root c\r\n"
    assert "note: /etc/cron.d/dos has a problem" in hand_over_lines(result)[0]
    with pytest.raises(Ds01Error, match="no line of cron has this unit") as caught:
        take(host, "ds01-cron-dos-c-000000")
    assert str(caught.value.hint).startswith("a crontab with a problem is left alone: /etc/cron.d")


def test_units_have_to_be_there_and_up_to_date(host: CronHost) -> None:
    path = host.write("etc/crontab", CRONTAB)
    with pytest.raises(Ds01Error, match="No such file") as caught:
        take(host, everything=True)
    assert caught.value.hint == f"ds01ctl units import-cron --out {host.unit_dir}"
    name = install(host)["/opt/b"]
    # the same name, but the service would look for another line
    path.write_text(CRONTAB.replace("* root /opt/b", "*  root /opt/b"))
    with pytest.raises(Ds01Error, match="is not what /etc/crontab:5 is now"):
        take(host, name)
    path.write_text("CRON_TZ=Europe/Berlin\n" + CRONTAB)
    with pytest.raises(Ds01Error, match=f"{name}.timer: is not what /etc/crontab:6 is now"):
        take(host, name)
    assert host.calls == []
    with pytest.raises(UsageError):
        take(host)
    with pytest.raises(Ds01Error) as caught:
        take(host, f"{name}x")
    assert caught.value.hint == f"did you mean {name}?"


def test_an_older_definition_in_memory_is_not_started(host: CronHost) -> None:
    host.write("etc/crontab", CRONTAB)
    name = install(host)["/opt/b"]
    host.keep_old(f"{name}.service")
    with pytest.raises(Ds01Error, match=f"{name}.service: systemd has an older definition"):
        take(host, everything=True)
    assert host.calls == []


@pytest.mark.parametrize("kind", ["service", "timer"])
def test_what_systemd_does_not_load_is_not_handed_over(host: CronHost, kind: str) -> None:
    """Nothing would run the job."""
    path = host.write("etc/crontab", CRONTAB)
    name = install(host)["/opt/b"]
    host.refuse_to_load(f"{name}.{kind}")
    with pytest.raises(Ds01Error, match=f"systemd does not load\n{name}.{kind}: bad-setting"):
        take(host, name)
    assert path.read_text() == CRONTAB
    assert host.calls == []


def test_settings_that_changed_since_the_import_are_imported_first(host: CronHost) -> None:
    path = host.write("etc/crontab", CRONTAB)
    name = install(host)["/opt/b"]
    path.write_text(CRONTAB.replace("A=1", "A=2"))
    with pytest.raises(Ds01Error, match=f"{name}.service: is not what /etc/crontab:5 is now"):
        take(host, name)
    host.write("etc/environment", "LANG=C\n")
    path.write_text(CRONTAB)
    with pytest.raises(Ds01Error, match=f"{name}.service: is not what /etc/crontab:5 is now"):
        take(host, name)
    install(host)
    # what an admin edited is theirs, as long as it is the same line; whatever bytes are in it
    service = host.unit_dir / f"{name}.service"
    service.write_bytes(service.read_bytes() + b"# caf\xe9\nNice=5\n")
    take(host, name)
    assert host.active == [f"{name}.timer"]


class EditedMeanwhile(dict[int, tuple[str, str]]):
    """Lines to replace; when they are asked for, somebody else saves the file."""

    def __init__(self, path: Path, lines: dict[int, tuple[str, str]], *, renames: bool) -> None:
        super().__init__(lines)
        self._path = path
        self._renames = renames

    def items(self) -> Any:
        """Save a line more, as an editor does: into the file, or by a new one."""
        text = self._path.read_text() + "1 1 * * * root /opt/new\n"
        place = self._path.with_name("new") if self._renames else self._path
        place.write_text(text)
        place.replace(self._path)
        return super().items()


@pytest.mark.parametrize("renames", [False, True])
def test_what_others_save_at_that_moment_is_not_lost(host: CronHost, renames: bool) -> None:
    path = host.write("etc/crontab", CRONTAB)
    lines = EditedMeanwhile(path, {5: ("*/5 * * * * root /opt/b", "# b")}, renames=renames)
    with pytest.raises(Ds01Error, match="has changed meanwhile") as caught:
        replace_lines(path, lines)
    assert caught.value.hint == "somebody else is editing it; try again"
    assert path.read_text() == CRONTAB + "1 1 * * * root /opt/new\n"
    assert sorted(one.name for one in path.parent.glob(".crontab*")) == []


def test_what_a_user_deletes_ends(host: CronHost) -> None:
    """A user can reach no unit of root's; an admin's file may go when its lines have moved."""
    line = '*/5 * * * * /home/alice/x "$A"'
    own = host.user_crontab("alice", f"{line}\n")
    site = host.write("etc/cron.d/site", "0 4 * * * root /opt/a b\n")
    names = install(host)
    name, of_site = names['/home/alice/x "$A"'], names["/opt/a b"]
    assert runners(host, own, line, name) == ["cron"]
    take(host, everything=True)
    assert runners(host, own, line, name) == ["timer"]
    marked = own.read_text()
    # a copy that an editor held is saved again: cron has it
    own.write_text(f"{line}\n")
    assert runners(host, own, line, name) == ["cron"]
    own.write_text(f"{marked}{line}\n")
    assert "cron" in runners(host, own, line, name)
    for text in ("", "# nothing\n", f"# \0{marked}"):
        own.write_text(text)
        assert runners(host, own, line, name) == []
    own.unlink()
    site.unlink()
    assert runners(host, own, line, name) == []
    assert runners(host, site, "0 4 * * * root /opt/a b", of_site) == ["timer"]


def test_a_copy_saved_after_the_way_back_is_told(host: CronHost) -> None:
    """The editor was opened while the timer had the line: now nobody runs it."""
    own = host.user_crontab("alice", "0 4 * * * c\n")
    name = install(host)["c"]
    take(host, name)
    held = own.read_text()
    assert "nothing runs it" not in str(import_lines(import_cron(host.asked)))
    give(host, name)
    own.write_text(held)
    told = import_lines(import_cron(host.asked))
    assert [line for line in told if "handed" not in line and ":1: n" in line] == [
        "warning: /var/spool/cron/crontabs/alice:1: nothing runs it: it is marked, and its timer"
        f" is not enabled; take-over or give-back {name}"
    ]
    give(host, name)
    assert own.read_text() == "0 4 * * * c\n"


def test_a_user_cannot_mark_the_lines_of_others(host: CronHost) -> None:
    path = host.write("etc/crontab", CRONTAB)
    names = install(host)
    forged = "".join(f"#ds01ctl {name}.timer: * * * * * c\n" for name in names.values())
    host.user_crontab("alice", forged)
    assert install(host) == names
    take(host, everything=True)
    assert give(host, everything=True).status == "ok"
    assert path.read_text() == CRONTAB


def test_a_folder_that_nothing_runs_is_taken_only_by_name(host: CronHost) -> None:
    host.write("etc/cron.daily/backup", "#!/bin/sh\n", 0o755)
    (name,) = install(host).values()
    assert take(host, everything=True).actions == ()
    take(host, name)
    assert host.active == [f"{name}.timer"]
    give(host, everything=True)
    assert host.active == []


@pytest.mark.parametrize(
    ("second", "waits_s"), [(0, [10]), (2, [8]), (10, []), (49, []), (50, [20]), (59, [11])]
)
def test_the_change_keeps_clear_of_the_turn_of_the_minute(
    host: CronHost, second: int, waits_s: list[float]
) -> None:
    """A timer fires at its start, and cron reads its files and starts jobs a second later."""
    host.write("etc/crontab", "0 4 * * * root c\n")
    install(host)
    slept: list[float] = []
    clock = Clock(now=lambda: 1_795_435_200.5 + second, sleep=slept.append)
    take_over(host.asked, everything=True, is_live=True, clock=clock)
    assert slept == waits_s


@pytest.mark.skipif(not shutil.which("systemctl"), reason="no systemctl")
def test_below_another_root_nothing_is_started(host: CronHost) -> None:
    """With the real systemctl, which can work on files alone."""
    (host.bin / "systemctl").unlink()
    path = host.write("etc/crontab", CRONTAB)
    name = install(host)["/opt/b"]
    result = take_over(host.asked, [name])
    assert [action.kind for action in result.actions] == ["enable", "comment-out"]
    assert host.enabled == [f"{name}.timer"]
    give_back(host.asked, [name])
    assert host.enabled == []
    assert path.read_text() == CRONTAB
