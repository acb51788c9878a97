"""Lines of a real cron become timers of a real systemd, and lines again; each run is counted."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.host.host import Host
from tests.host.test_units import PLACE, POLICY, events, reloads, stale_units, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.host.machine import Machine

UNITS = "/etc/systemd/system"
SITE = "/etc/cron.d/site"
OWN = "/var/spool/cron/crontabs/alice"
# who runs it is in the control group: cron's service, or one of ours
BY = "by=cron; grep -q /ds01-cron- /proc/self/cgroup && by=timer"
TICK = f"""\
#!/bin/sh
{BY}
exec 3>&2
can=closed; ( : > /proc/self/fd/3 ) 2> /dev/null && can=opens
echo "$1 $(date +%s) $by $can" >> /srv/seen/ticks
"""
LOOK = f"""\
#!/bin/sh
{BY}
exec > "/srv/seen/$1.$by.part"
env | sort
echo "-- $(id)"
echo "-- cwd $(pwd)"
echo "-- umask $(umask), nice $(nice), shell $0, dumpable core $(ulimit -c)"
echo "-- signals $(grep -E '^Sig(Ign|Blk)' /proc/self/status | tr -d '\\t\\n')"
grep '^Max' /proc/self/limits
echo "-- stdin:"
cat
mv "/srv/seen/$1.$by.part" "/srv/seen/$1.$by"
"""
SITE_LINES = """\
MAILTO=ops@example.org
PATH=/opt/site:/usr/bin:/bin
SITE = "a  $HOME 5% \\ 'b'"
* * * * * root tick root
* * * * * alice look site%one%two 100\\%
0 4 1 1 * root echo "no disk $$"; sleep 1; exit 3
@reboot alice tick reboot >> /dev/null 2>&1
"""
OWN_LINES = """\
MAILTO=""
GREETING=hi "there" $HOME é
HOME=/srv
# of alice
* * * * *\t/opt/site/tick alice
*/1 * * * *  /opt/site/look own  # "$GREETING" \\
0 4 1 1 * exit 4
"""
# what systemd adds, and what PAM sets for cron
DIFFERS = re.compile(
    r"(INVOCATION_ID|JOURNAL_STREAM|SYSTEMD_EXEC_PID|USER|TRIGGER_\w+)="
    r"|Max (open files|locked memory)"
)
MAIL_SERVER = "python3 -W ignore -u -m smtpd -n -c DebuggingServer 127.0.0.1:25 > /srv/seen/mails"
VERIFY = f"systemd-analyze verify --man=no {UNITS}/ds01-cron-*.timer {UNITS}/ds01-cron-*.service"


class Tick(NamedTuple):
    """One run of the job that counts itself."""

    name: str
    minute: int
    by: str
    stderr: str
    """It ``opens`` by its name, or is ``closed``."""


class Moved(NamedTuple):
    """What was seen while lines went to their timers and back."""

    ticks: list[Tick]
    during: str
    """Both crontabs while the timers had their lines."""
    timers: str
    before: bytes
    after: bytes
    reloads: tuple[str, str]
    stale: list[str]
    """Units that systemd asks to read anew, with the timers' lines and after."""
    verified: str


def stat_and_text(host: Host) -> bytes:
    return host.ok(f"stat -c '%n %a %U %G' {SITE} {OWN}; cat {SITE} {OWN}").encode()


def ticks(host: Host) -> list[Tick]:
    told = [line.split() for line in host.run("cat /srv/seen/ticks").out.splitlines()]
    return [Tick(name, int(at) // 60, by, stderr) for name, at, by, stderr in told]


def wait_for_second(host: Host, second: int) -> None:
    """Wait until the guest's clock is just past this second of a minute."""
    now = float(host.ok("date +%S.%N"))
    time.sleep((second - now) % 60)


def skip_to_second(host: Host, second: int) -> None:
    """Set the guest's clock forward; cron, which counts seconds in its sleep, begins anew."""
    now = float(host.ok("date +%s.%N"))
    host.ok(f"date --set=@{now + (second - now) % 60:.3f} && systemctl restart cron")


@pytest.fixture(scope="module")
def world(machine: Machine, ds01ctl: str) -> Iterator[Host]:
    """A host with crontabs of the site and of a user, and with the timers of ds01ctl."""
    host = Host(machine)
    host.user("alice")
    host.put(TICK, "/opt/site/tick", mode=0o755)
    host.put(LOOK, "/opt/site/look", mode=0o755)
    host.ok("install -d -m 1777 /srv/seen; touch /srv/seen/ticks; chmod 666 /srv/seen/ticks")
    host.put(SITE_LINES, SITE)
    host.ok(
        "chgrp adm /etc/cron.d/site; chmod 640 /etc/cron.d/site; crontab -u alice -",
        stdin=OWN_LINES,
    )
    host.put(POLICY, PLACE)
    yield host
    host.run(f"{ds01ctl} units give-back --all; {ds01ctl} units uninstall --purge")
    host.run(
        f"systemctl stop 'ds01-cron-*'; rm -rf {UNITS}/ds01-cron-* /srv/seen /opt/site {SITE} {OWN}"
        " /etc/ds01 /var/lib/ds01 /var/log/ds01 /run/ds01 /var/cache/ds01"
    )
    host.clean()
    # minutes were skipped
    machine.set_clock()


@pytest.fixture(scope="module")
def moved(world: Host, ds01ctl: str) -> Moved:
    """Hand every line over and take it back, with a full minute on each side of each change."""
    host = world
    told = reloads(host)
    host.ok(f"{ds01ctl} units install")
    host.ok(f"{ds01ctl} units import-cron --out {UNITS}")
    verified = host.run(VERIFY)
    before = stat_and_text(host)
    skip_to_second(host, 56)
    host.ok(": > /srv/seen/ticks")
    wait_for_second(host, 6)
    host.ok(f"{ds01ctl} units take-over --all")
    during = host.ok(f"cat {SITE} {OWN}")
    timers = host.ok("systemctl list-timers --no-pager 'ds01-cron-*'")
    stale = stale_units(host)
    wait_for("a minute of the timers", lambda: "timer" in {t.by for t in ticks(host)}, at_most_s=70)
    host.ok(f"{ds01ctl} units give-back --all")
    after = stat_and_text(host)
    stale += stale_units(host)
    wait_for_second(host, 0)
    wait_for_second(host, 6)
    seen = (told, reloads(host))
    return Moved(
        ticks(host), during, timers, before, after, seen, stale, f"{verified.status}{verified.err}"
    )


def test_what_is_written_is_sound(moved: Moved) -> None:
    assert moved.verified == "0"


def test_a_line_runs_once_a_minute_through_both_changes(moved: Moved) -> None:
    """Never both, never neither: by cron, by the timer, and by cron again."""
    for name in ("root", "alice"):
        runs = [tick for tick in moved.ticks if tick.name == name]
        minutes = [tick.minute for tick in runs]
        assert minutes == list(range(minutes[0], minutes[0] + len(runs))), runs
        assert len(runs) >= 3
        assert re.fullmatch("(cron )+(timer )+(cron )+", "".join(f"{t.by} " for t in runs)), runs


def test_only_root_under_cron_opens_its_output_by_name(moved: Moved) -> None:
    """Cron gives a pipe of root's, systemd a socket."""
    seen = {(tick.name, tick.by, tick.stderr) for tick in moved.ticks}
    assert seen == {
        *(("root", "cron", "opens"), ("root", "timer", "closed")),
        *(("alice", "cron", "closed"), ("alice", "timer", "closed")),
    }


def test_the_timers_are_active_and_the_lines_are_comments(moved: Moved) -> None:
    assert len(re.findall(r"ds01-cron-(?:site|alice)-\S+\.timer", moved.timers)) == 6, moved.timers
    live = [line for line in moved.during.splitlines() if re.match(r"\s*[*@0-9]", line)]
    assert live == []
    assert len(re.findall(r"^#ds01ctl ds01-cron-\S+\.timer: ", moved.during, re.MULTILINE)) == 7


def test_the_crontabs_come_back_byte_for_byte(moved: Moved) -> None:
    assert moved.after == moved.before
    assert f"{SITE} 640 root adm".encode() in moved.before
    assert f"{OWN} 600 alice crontab".encode() in moved.before


def test_nothing_was_reloaded(moved: Moved) -> None:
    """Nor does systemd ask for it because a crontab was edited."""
    assert moved.stale == []
    assert moved.reloads[0] == moved.reloads[1]


@pytest.mark.parametrize("name", ["site", "own"])
@pytest.mark.usefixtures("moved")
def test_the_job_finds_what_cron_gives_it(world: Host, name: str) -> None:
    """Environment, ids, folder, mask, niceness, signals, limits and input are cron's own."""
    of_cron, of_timer = (
        world.ok(f"cat /srv/seen/{name}.{by}").splitlines() for by in ("cron", "timer")
    )
    assert [line for line in of_timer if not DIFFERS.match(line)] == [
        line for line in of_cron if not DIFFERS.match(line)
    ]


@pytest.fixture(scope="module")
def again(world: Host, moved: Moved, ds01ctl: str) -> Host:
    """The lines are with their timers once more, to stay; moved: after that was seen."""
    assert moved.after == moved.before
    world.ok(f"{ds01ctl} units take-over --all")
    return world


def test_a_failing_job_is_told(again: Host) -> None:
    """An event of each; a mail to MAILTO, and none where that is empty."""
    host = again
    host.ok(f"systemd-run --quiet --unit=mail-server sh -c '{MAIL_SERVER}'")
    wait_for(
        "a mail server",
        lambda: host.run("bash -c ': < /dev/tcp/127.0.0.1/25'").status == 0,
        at_most_s=60,
    )
    host.run(f"cd {UNITS}; systemctl start ds01-cron-site-echo-*.service")
    host.run(f"cd {UNITS}; systemctl start ds01-cron-alice-exit-*.service")

    def failed() -> dict[str, str]:
        told = [e for e in events(host) if e["event_type"] == "health.fail"]
        return {e["details"]["unit"][:20]: e["details"]["status"] for e in told}

    wait_for("two events", lambda: len(failed()) == 2, at_most_s=60)
    assert failed() == {"ds01-cron-site-echo-": "3", "ds01-cron-alice-exit": "4"}
    handlers = "systemctl is-active --quiet 'ds01-failure@*'"
    wait_for("the handlers' end", lambda: host.run(handlers).status != 0, at_most_s=60)
    mails = host.ok("cat /srv/seen/mails")
    assert re.findall(r"^b'To: (.*)'$", mails, re.MULTILINE) == ["ops@example.org"], mails
    assert "exit code 3" in mails
    assert re.search(r"no disk \d+", mails)


def test_the_timers_outlive_a_reboot(again: Host) -> None:
    host = again
    before = len(ticks(host))
    host.reboot()

    def seen() -> list[tuple[str, str]]:
        return sorted({(tick.name, tick.by) for tick in ticks(host)[before:]})

    skip_to_second(host, 57)
    wanted = [("alice", "timer"), ("reboot", "timer"), ("root", "timer")]
    wait_for("a minute of the timers", lambda: len(seen()) >= 3, at_most_s=60)
    wait_for_second(host, 8)
    assert seen() == wanted
