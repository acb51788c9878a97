"""A host of the test's own: a moved root with crontabs, and a systemctl that remembers."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

from ds01ctl.commands.handover import Clock
from ds01ctl.commands.importing_cron import Asked
from ds01ctl.paths import Paths

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)
AT_ONCE = Clock(now=lambda: 20.0)
UNIT_DIR = "etc/systemd/system"
SPOOL = "var/spool/cron/crontabs"

SYSTEMCTL = """#!{python}
import json, os, signal, sys
memory = {memory!r}
state = json.load(open(memory))
root = next((a[7:] for a in sys.argv if a.startswith("--root=")), {root!r})
verb, *names = [a for a in sys.argv[1:] if not a.startswith("--")]
if verb == "show":
    for name in names[2:]:
        stale = "yes" if name in state["stale"] else "no"
        load = "bad-setting" if name in state["bad"] else "loaded"
        active = "active" if name in state["active"] else "inactive"
        print(f"Id={{name}}", f"LoadState={{load}}", f"ActiveState={{active}}", sep="\\n")
        print(f"NeedDaemonReload={{stale}}", "", sep="\\n")
    sys.exit()
state["calls"].append(" ".join([verb, *names]))
state["reloads"] += "--no-reload" not in sys.argv and verb in ("enable", "disable")
state["left"] -= 1
if state["left"] == 0 and not state["kills"]:
    json.dump(state, open(memory, "w"))
    sys.exit("Job failed, told so by the test")
wants = os.path.join(root, "etc/systemd/system/timers.target.wants")
for name in names:
    link = os.path.join(wants, name)
    if verb == "enable":
        os.makedirs(wants, exist_ok=True)
        if not os.path.islink(link):
            os.symlink("/etc/systemd/system/" + name, link)
    elif verb == "disable" and os.path.islink(link):
        os.unlink(link)
    elif verb == "start" and name not in state["active"]:
        state["active"].append(name)
    elif verb == "stop" and name in state["active"]:
        state["active"].remove(name)
json.dump(state, open(memory, "w"))
if state["left"] == 0:
    os.kill(os.getppid(), signal.SIGKILL)
"""


class CronHost:
    """Files below a root, and what systemd knows."""

    def __init__(self, tmp: Path) -> None:
        self.root = tmp / "root"
        self.bin = tmp / "bin"
        for folder in ("etc/cron.d", UNIT_DIR, SPOOL, "run", "var/lib/ds01"):
            (self.root / folder).mkdir(parents=True)
        self.bin.mkdir()
        (self.root / "etc/passwd").write_text(
            "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/:/bin/sh\n"
            f"alice:x:{os.geteuid()}:1::/:/\n20231234:x:5000:1::/:/\n"
        )
        self.unit_dir = self.root / UNIT_DIR
        self.asked = Asked(Paths(self.root), "gpu01", NOW)
        self._memory = tmp / "systemd.json"
        self._memory.write_text(
            json.dumps(
                {
                    "calls": [],
                    "active": [],
                    "left": 0,
                    "kills": False,
                    "reloads": 0,
                    "stale": [],
                    "bad": [],
                }
            )
        )
        program = self.bin / "systemctl"
        program.write_text(
            SYSTEMCTL.format(python=sys.executable, memory=str(self._memory), root=str(self.root))
        )
        program.chmod(0o755)

    def write(self, place: str, text: str | bytes, mode: int = 0o644) -> Path:
        """Write a file below the root."""
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return path

    def user_crontab(self, login: str, text: str) -> Path:
        """Write a user's own crontab."""
        return self.write(f"{SPOOL}/{login}", text, 0o600)

    def fail_at(self, call: int, *, kills: bool = False) -> None:
        """Have the n-th call from now on fail; kills: have it done, and who called it killed."""
        self._memory.write_text(json.dumps({**self._state(), "left": call, "kills": kills}))

    def keep_old(self, *units: str) -> None:
        """Have systemd keep older definitions of units in its memory."""
        self._memory.write_text(json.dumps({**self._state(), "stale": units}))

    def refuse_to_load(self, *units: str) -> None:
        """Have systemd find units that it cannot use."""
        self._memory.write_text(json.dumps({**self._state(), "bad": units}))

    def _state(self) -> dict[str, object]:
        return dict(json.loads(self._memory.read_text()))

    @property
    def calls(self) -> list[str]:
        """The calls so far."""
        return list(json.loads(self._memory.read_text())["calls"])

    @property
    def active(self) -> list[str]:
        """The timers that run."""
        return sorted(json.loads(self._memory.read_text())["active"])

    @property
    def reloads(self) -> int:
        """How often systemd was told to reload."""
        return int(json.loads(self._memory.read_text())["reloads"])

    @property
    def enabled(self) -> list[str]:
        """The timers that are started at boot."""
        return sorted(link.name for link in (self.unit_dir / "timers.target.wants").glob("*"))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CronHost:
    """A host with empty folders, and its systemctl on PATH."""
    found = CronHost(tmp_path)
    monkeypatch.setenv("PATH", f"{found.bin}:{os.environ['PATH']}")
    return found
