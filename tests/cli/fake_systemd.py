"""A systemctl and a journalctl that say what a test has them say, as systemd 252 does."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from tests.cli.conftest import Host

SYSTEMCTL = """#!/bin/sh
# the arguments are noted; "show" answers with the block of each unit that is asked for
here=$(dirname "$0")
echo "$*" >> "$here/asked"
[ -e "$here/fails" ] && { cat "$here/fails" >&2; exit 1; }
first=1
seen=
for word in "$@"; do
    if [ -n "$seen" ]; then
        [ -n "$first" ] || echo
        first=
        if [ -e "$here/units/$word" ]; then cat "$here/units/$word"; else
            printf 'Id=%s\\nLoadState=not-found\\nActiveState=inactive\\n' "$word"
        fi
    fi
    [ "$word" = "--" ] && seen=1
done
exit 0
"""
JOURNALCTL = """#!/bin/sh
here=$(dirname "$0")
echo "$*" >> "$here/journal-asked"
[ -e "$here/no-journal" ] && { cat "$here/no-journal" >&2; exit 1; }
cat "$here/journal" 2>/dev/null
exit 0
"""
UNSET = "[not set]"


def stamp(at: datetime | None) -> str:
    """Write a time as --timestamp=us+utc has it."""
    return f"{at:%a %Y-%m-%d %H:%M:%S.%f} UTC" if at else ""


class FakeSystemd:
    """What is on PATH instead of the real ones; its state lies in files."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.bin = host.root.parent / "bin"
        (self.bin / "units").mkdir(parents=True)
        for name, text in (("systemctl", SYSTEMCTL), ("journalctl", JOURNALCTL)):
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)
        (host.root / "run/systemd/system").mkdir(parents=True)
        self.unit_dir = host.root / "etc/systemd/system"
        self.unit_dir.mkdir(parents=True)
        host.env["PATH"] = f"{self.bin}:{host.env['PATH']}"
        self.now = datetime.now(timezone.utc)
        self.monotonic_s = time.monotonic()

    def fail(self, says: str) -> None:
        """Have systemctl fail."""
        (self.bin / "fails").write_text(says)

    def journal(self, *lines: dict[str, Any]) -> None:
        """Have journalctl say these lines."""
        (self.bin / "journal").write_text("".join(json.dumps(one) + "\n" for one in lines))

    def asked(self, name: str = "asked") -> list[str]:
        """List the command lines so far."""
        path = self.bin / name
        return path.read_text().splitlines() if path.exists() else []

    def unit(self, name: str, **values: object) -> None:
        """Set what systemd says of a unit."""
        said = {"Id": name, "LoadState": "loaded", "ActiveState": "inactive", "SubState": "dead"}
        said |= {"NeedDaemonReload": "no", "Result": "success"}
        said |= {key: str(value) for key, value in values.items()}
        text = "".join(f"{key}={value}\n" for key, value in said.items())
        (self.bin / "units" / name).write_text(text)

    def ran(self, unit: str, ago_s: float, took_s: float = 0.5, **values: object) -> None:
        """Set a service that ran so long ago."""
        began, began_s = self.now - timedelta(seconds=ago_s), self.monotonic_s - ago_s
        ended, ended_s = began + timedelta(seconds=took_s), began_s + took_s
        timing = {
            "ExecMainCode": 1,
            "ExecMainStatus": 0,
            "ExecMainStartTimestamp": stamp(began),
            "ExecMainStartTimestampMonotonic": int(began_s * 1e6),
            "ExecMainExitTimestamp": stamp(ended),
            "ExecMainExitTimestampMonotonic": int(ended_s * 1e6),
            "CPUUsageNSec": 250_000_000,
            "InvocationID": f"{unit:0<32}",
        }
        self.unit(f"{unit}.service", **{**timing, **values})

    def never_ran(self, unit: str, **values: object) -> None:
        """Set a service that did not run since the boot."""
        unset = {"ExecMainCode": 0, "ExecMainStatus": 0, "CPUUsageNSec": UNSET}
        self.unit(f"{unit}.service", **{**unset, **values})

    def polling(self, unit: str, every_s: int, ago_s: float, **values: object) -> None:
        """Set a timer that fired so long ago, of the monotonic kind."""
        fired_s = self.monotonic_s - ago_s
        timing = {
            "ActiveState": "active",
            "SubState": "waiting",
            "TimersMonotonic": f"{{ OnUnitActiveUSec={every_s}s ; next_elapse=1h }}\n"
            "TimersMonotonic={ OnBootUSec=30s ; next_elapse=30s }",
            "LastTriggerUSec": f"{self.now - timedelta(seconds=ago_s):%a %Y-%m-%d %H:%M:%S} UTC",
            "LastTriggerUSecMonotonic": f"{fired_s:f}s",
            "NextElapseUSecRealtime": "",
            "NextElapseUSecMonotonic": f"{fired_s + every_s:f}s",
            "ActiveEnterTimestampMonotonic": 1_000_000,
        }
        self.unit(f"{unit}.timer", **{**timing, **values})

    def calendar(self, unit: str, expression: str, next_s: float, **values: object) -> None:
        """Set a timer of the calendar that fires in so many seconds."""
        at = self.now + timedelta(seconds=next_s)
        timing = {
            "ActiveState": "active",
            "SubState": "waiting",
            "TimersCalendar": f"{{ OnCalendar={expression} ; next_elapse={stamp(at)} }}",
            "LastTriggerUSec": "",
            "LastTriggerUSecMonotonic": "0",
            "NextElapseUSecRealtime": f"{at:%a %Y-%m-%d %H:%M:%S} UTC",
            "NextElapseUSecMonotonic": "0",
            "ActiveEnterTimestampMonotonic": 1_000_000,
        }
        self.unit(f"{unit}.timer", **{**timing, **values})

    def all_well(self) -> None:
        """Set the jobs as they are on a healthy host, files and all."""
        from ds01ctl.unitfiles.files import render

        for file in render():
            place = self.host.root / file.place.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(file.text)
        wants = self.unit_dir / "ds01.target.wants"
        wants.mkdir(exist_ok=True)
        cleanup = ("cleanup-containers", "cleanup-images", "cleanup-report")
        for name in ("detect", "enforce", "quota", *cleanup, "carbon", "state", "units-check"):
            link = wants / f"ds01-{name}.timer"
            if not link.is_symlink():
                link.symlink_to(f"/etc/systemd/system/ds01-{name}.timer")
        self.polling("ds01-detect", 30, 12)
        self.ran("ds01-detect", 12)
        self.polling("ds01-enforce", 300, 120)
        self.ran("ds01-enforce", 120)
        self.polling("ds01-quota", 3600, 1200)
        self.ran("ds01-quota", 1200)
        self.polling("ds01-cleanup-containers", 300, 120)
        self.ran("ds01-cleanup-containers", 120)
        self.calendar("ds01-cleanup-images", "*-*-* 04:10:00", 3600)
        self.ran("ds01-cleanup-images", 80_000, 2.5)
        self.calendar("ds01-cleanup-report", "Mon *-*-* 07:30:00", 3600)
        self.ran("ds01-cleanup-report", 80_000, 2.5)
        self.polling("ds01-carbon", 60, 20)
        self.ran("ds01-carbon", 20)
        self.polling("ds01-carbon-intensity", 900, 20, ActiveState="inactive")
        self.never_ran("ds01-carbon-intensity")
        # off unless the policy turns it on
        self.calendar("ds01-quota-volumes", "*-*-* 03:20:00", 3600, ActiveState="inactive")
        self.never_ran("ds01-quota-volumes")
        self.calendar("ds01-state", "*-*-* 05:10:00", 3600)
        self.ran("ds01-state", 80_000, 2.5)
        self.calendar("ds01-units-check", "*-*-* 06:10:00", 7200)
        self.never_ran("ds01-units-check")


def line(unit: str, message: str, priority: int = 6) -> dict[str, Any]:
    """Make a line of the journal that a unit's program printed."""
    return {
        "MESSAGE": message,
        "PRIORITY": str(priority),
        "_SYSTEMD_INVOCATION_ID": f"{unit:0<32}",
        "__REALTIME_TIMESTAMP": "1795456519984565",
    }


def paths_of(host: Host) -> Path:
    """Give the folder of the fake programs."""
    return host.root.parent / "bin"
