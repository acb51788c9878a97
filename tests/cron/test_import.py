"""Crontabs of a host become units, or nothing does."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ds01ctl.commands.importing_cron import import_cron
from ds01ctl.core.plan import Result
from ds01ctl.errors import Ds01Error
from ds01ctl.report.cron_text import import_lines
from ds01ctl.report.document import dumps, of_result
from tests.cron.conftest import SPOOL, CronHost

DEBIAN = """\
SHELL=/bin/sh
# You can also override PATH, but by default, newer versions inherit it
17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly
25 6\t* * *\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }
47 6\t* * 7\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.weekly; }
52 6\t1 * *\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.monthly; }
#
"""


def told(result: Result) -> str:
    return "\n".join(import_lines(result, show=True))


def units_of(result: Result) -> dict[str, str]:
    return {unit["name"]: unit["text"] for unit in result.data["units"]}


def lines_of(result: Result) -> dict[str, dict[str, Any]]:
    return {f"{row['file']}:{row['line']}": row for row in result.data["lines"]}


def test_every_crontab_of_the_host_is_read(host: CronHost) -> None:
    host.write("etc/crontab", DEBIAN)
    host.write("etc/cron.d/ds01", "30 4 1,15 * 5 root /opt/x --fix\n0 0 30 2 * root never\n")
    host.user_crontab("alice", "@reboot ~/start\n0 9 * * 1-5 mail joe%hello%\n")
    result = import_cron(host.asked)
    rows = lines_of(result)
    assert len(rows) == 8
    assert rows["/etc/cron.d/ds01:1"]["on_calendar"] == ["*-*-01,15 04:30:00", "Fri *-*-* 04:30:00"]
    assert rows["/etc/cron.d/ds01:2"]["unit"] is None
    assert rows[f"/{SPOOL}/alice:2"]["user"] == "alice"
    assert len(result.data["units"]) == 14
    assert result.actions == ()
    assert not any(host.unit_dir.iterdir())
    assert "nothing was written: --out DIR writes the units" in told(result)
    json.loads(dumps(of_result(result)))


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
def test_each_line_comes_with_its_proof(host: CronHost) -> None:
    host.write("etc/crontab", DEBIAN + "@reboot root c\n0 0 29 2 * root d\n")
    proofs = [row["proof"] for row in import_cron(host.asked).data["lines"]]
    assert [proof and proof["firings"] for proof in proofs] == [1000, 1000, 1000, 337, None, 7]
    assert all(proof is None or proof["holds"] for proof in proofs)


def test_without_systemd_analyze_nothing_is_said_to_be_proved(
    host: CronHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(host.bin))
    host.write("etc/crontab", "0 4 * * * root c\n")
    result = import_cron(host.asked)
    assert result.data["lines"][0]["proof"] == {
        "holds": False,
        "firings": 0,
        "missing": "systemd-analyze: not found",
    }
    assert "not proved: systemd-analyze: not found" in told(result)


@pytest.mark.parametrize(
    ("place", "mode", "reason"),
    [
        ("etc/cron.d/ds01.conf", 0o644, "a name in cron.d may have letters, digits, - and _ only"),
        ("etc/cron.d/shared", 0o664, "others may write it (mode 0664); chmod go-w"),
        (f"{SPOOL}/alice", 0o644, "its mode is 0644, not 0600; chmod 600"),
        (f"{SPOOL}/gone", 0o600, "there is no login gone"),
    ],
)
def test_what_cron_ignores_is_skipped_with_the_reason(
    host: CronHost, place: str, mode: int, reason: str
) -> None:
    host.write(place, "60 bad\n", mode)
    host.write("etc/crontab", "0 4 * * * root c\n")
    result = import_cron(host.asked)
    assert [row["message"] for row in result.data["skipped"]] == [f"cron ignores it: {reason}"]
    assert [row["file"] for row in result.data["skipped"]] == [f"/{place}"]
    assert f"skipped: /{place}: cron ignores it" in told(result)


def test_what_was_private_is_told_to_become_public(host: CronHost) -> None:
    """Systemd shows every unit to everybody."""
    host.write("etc/cron.d/secret", "0 4 * * * root c --password x\n", 0o640)
    host.write("etc/cron.d/site", "0 4 * * * root c\n")
    host.user_crontab("alice", "0 4 * * * c\n")
    told = {row["file"]: row["warnings"] for row in import_cron(host.asked).data["lines"]}
    assert told["/etc/cron.d/site"] == []
    for place in ("/etc/cron.d/secret", f"/{SPOOL}/alice"):
        (warning,) = told[place]
        assert warning.startswith("the crontab is private, units are not: everybody can read")


def test_a_login_that_is_a_number_runs_its_own_jobs(host: CronHost) -> None:
    host.write("etc/cron.d/site", "0 4 * * * 20231234 c\n")
    service = next(
        text for name, text in units_of(import_cron(host.asked)).items() if "ser" in name
    )
    assert "User=5000\n" in service


def test_links_and_foreign_owners_are_skipped(host: CronHost) -> None:
    path = host.write("etc/cron.d/linked", "0 4 * * * root c\n")
    os.link(path, host.root / "etc/other")
    (host.root / SPOOL / "alice").symlink_to("/etc/passwd")
    reasons = [row["message"] for row in import_cron(host.asked).data["skipped"]]
    assert reasons == [
        "cron ignores it: it has 2 hard links; expected one",
        "cron ignores it: it is a link",
    ]
    if os.geteuid() == 0:
        path.chmod(0o644)
        (host.root / "etc/other").unlink()
        os.chown(path, 33, 33)
        reasons = [row["message"] for row in import_cron(host.asked).data["skipped"]]
        assert reasons[0] == "cron ignores it: it belongs to uid 33, not to root; chown it"


def test_every_problem_of_every_file_is_named_and_nothing_written(host: CronHost) -> None:
    host.write("etc/crontab", "0 4 * * * root fine\n60 * * * * root a\n0 4 * * * nosuch b\n")
    host.write("etc/cron.d/dos", "0 4 * * * root c\r\n")
    host.write("etc/cron.d/short", "0 4 * * * root c")
    out = host.unit_dir
    with pytest.raises(Ds01Error) as caught:
        import_cron(host.asked, out=out)
    message = caught.value.message.splitlines()
    assert message[0] == "nothing was written, for 4 problems:"
    assert [line.split(": ")[0] for line in message[1:]] == [
        "/etc/crontab:2:1",
        "/etc/crontab:3:11",
        "/etc/cron.d/dos:1:17",
        "/etc/cron.d/short:1:17",
    ]
    assert caught.value.hint
    assert [row["line"] for row in caught.value.data["problems"]] == [2, 3, 1, 1]
    assert not any(out.iterdir())


def test_units_are_written_once_and_never_over_foreign_files(host: CronHost) -> None:
    host.write("etc/crontab", "0 4 * * * root c\n0 5 * * * root d\n")
    out = host.unit_dir
    first = import_cron(host.asked, out=out)
    assert [action.outcome for action in first.actions] == ["done"] * 4
    assert sorted(path.name for path in out.iterdir()) == sorted(units_of(first))
    assert all(path.read_text().startswith("# ds01ctl: generated") for path in out.iterdir())
    again = import_cron(host.asked, out=out)
    assert [action.outcome for action in again.actions] == ["skipped"] * 4
    # the settings changed: ours is written anew
    host.write("etc/crontab", "A=1\n0 4 * * * root c\n0 5 * * * root d\n")
    outcomes = [action.outcome for action in import_cron(host.asked, out=out).actions]
    # where the line stands in the file is not in the timers
    assert outcomes == ["done", "skipped"] * 2
    # an admin's edit stays
    edited = min(out.iterdir())
    edited.write_text(edited.read_text().replace("infinity", "1h"))
    host.write("etc/crontab", "A=2\n0 4 * * * root c\n0 5 * * * root d\n")
    before = {path.name: path.read_text() for path in out.iterdir()}
    with pytest.raises(Ds01Error, match="was not written by ds01ctl, or was edited"):
        import_cron(host.asked, out=out)
    assert {path.name: path.read_text() for path in out.iterdir()} == before


def test_a_write_that_fails_leaves_no_file(host: CronHost) -> None:
    host.write("etc/crontab", "0 4 * * * root c\n0 5 * * * root d\n")
    out = host.unit_dir
    last = max(units_of(import_cron(host.asked)))
    # the part that is renamed into place can't be made where a folder lies
    (out / f".{last}.{os.getpid()}.part").mkdir()
    with pytest.raises(Ds01Error, match="cannot be written"):
        import_cron(host.asked, out=out)
    assert [path.name for path in out.iterdir() if path.is_file()] == []
    with pytest.raises(Ds01Error, match="is not a folder"):
        import_cron(host.asked, out=out / "none")


def test_files_can_be_named(host: CronHost, tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_text("0 4 * * * echo root\n")
    row = import_cron(host.asked, [path], owner="alice").data["lines"][0]
    assert (row["user"], row["command"], row["file"]) == ("alice", "echo root", str(path))
    spool = host.user_crontab("alice", "0 4 * * * echo root\n")
    assert import_cron(host.asked, [spool]).data["lines"][0]["user"] == "alice"
    with pytest.raises(Ds01Error, match="No such file"):
        import_cron(host.asked, [tmp_path / "none"])


def test_folders_of_run_parts(host: CronHost) -> None:
    for name in ("logrotate", "backup", "old.sh", "plain"):
        text = "#!/bin/sh\n[ -d /run/systemd/system ] && exit 0\n" if name == "logrotate" else "x"
        host.write(f"etc/cron.daily/{name}", text, 0o644 if name == "plain" else 0o755)
    host.write("etc/cron.daily/.placeholder", "")
    result = import_cron(host.asked)
    (row,) = result.data["run_parts"]
    assert row["runs"] == ["backup", "logrotate"]
    assert row["defers"] == ["logrotate"]
    assert [skip["name"] for skip in row["skips"]] == ["old.sh", "plain"]
    # no crontab runs it: it gets a job of its own, which makes up for missed runs
    (line,) = result.data["lines"]
    assert (line["when"], line["user"]) == ("25 6 * * *", "root")
    assert "nothing runs it today" in line["warnings"][0]
    timer = units_of(result)[f"{line['unit']}.timer"]
    assert "Persistent=true\n" in timer
    service = units_of(result)[f"{line['unit']}.service"]
    assert 'ExecStart=/bin/sh -c "cd / && run-parts --report /etc/cron.daily"\n' in service
    # one that a crontab runs comes from there, and with anacron there is none
    host.write("etc/crontab", DEBIAN)
    assert len(import_cron(host.asked).data["lines"]) == 4
    host.write("etc/crontab", "")
    host.write("usr/sbin/anacron", "", 0o755)
    assert import_cron(host.asked).data["lines"] == []


def test_what_pam_gives_to_jobs_is_kept(host: CronHost) -> None:
    host.write("etc/environment", 'http_proxy="http://proxy:3128"\nPATH=/never\n# x\nbad line\n')
    host.write("etc/default/locale", "LANG=de_DE.UTF-8\n")
    host.write("etc/crontab", "0 4 * * * root c\n")
    (service,) = (
        text
        for name, text in units_of(import_cron(host.asked)).items()
        if name.endswith(".service")
    )
    assert "Environment=http_proxy=http://proxy:3128\n" in service
    assert "Environment=LANG=de_DE.UTF-8\n" in service
    assert "/never" not in service


def test_what_cannot_be_read_is_a_gap(host: CronHost) -> None:
    host.write("etc/crontab", "0 4 * * * root c\n")
    spool = host.root / SPOOL
    spool.rmdir()
    # who may not read the folder gets another error at the same place
    spool.symlink_to(spool)
    result = import_cron(host.asked)
    assert [(gap.source, gap.kind) for gap in result.gaps] == [("crontabs", "failed")]
    assert result.status == "partial"
    assert len(result.data["lines"]) == 1
