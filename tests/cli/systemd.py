"""A host of the test's own at the real `/`: a mount namespace, and a systemctl that remembers.

What is faked is the edge of the machine alone: the program `systemctl`, with the memory of units
that systemd has. The files, the folders and everything of ours are real.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

FOLDERS = (
    "etc/systemd/system",
    "etc/tmpfiles.d",
    "etc/logrotate.d",
    "run/systemd/system",
    "var/lib/systemd/timers",
    "var/lib/prometheus/node-exporter",
    "var/log",
    "var/cache",
    "var/tmp",
)
"""What a host has before us."""

STATE = (
    "var/lib/ds01",
    "run/ds01",
    "var/log/ds01",
    "var/cache/ds01",
    "run/mount",
    "run/systemd/systemd-units-load",
    "run/systemd/system.control",
)
"""Where jobs keep what they remember: an uninstall leaves it. And traces of mount and systemd."""

SYSTEMCTL = """#!{python}
import json, os, sys, time
from pathlib import Path
memory = Path({memory!r})
state = json.loads(memory.read_text())
words = [word for word in sys.argv[1:] if not word.startswith("--")]
state["calls"].append(sys.argv[1:])
call = len(state["calls"])
verb, units = words[0], words[1:]
if verb == "show":
    units = words[3:]
unit_dir = Path("/etc/systemd/system")


def definition(name):
    path = unit_dir / name
    if not path.exists() and "@" in name:
        path = unit_dir / (name.partition("@")[0] + "@.service")
    return path.read_text(errors="replace") if path.exists() else None


def save():
    memory.write_text(json.dumps(state))


if verb == state["fail_verb"]:
    state["fail_verb"] = ""
    save()
    sys.exit("Job failed, told so by the test")
if call == state["fail_at"]:
    if state["signal"]:
        save()
        os.kill(os.getppid(), state["signal"])
        time.sleep(0.5)
    elif state["garbage"]:
        save()
        print("Running in chroot, ignoring request.")
        sys.exit(0)
    elif verb != "show":
        save()
        sys.exit("Job failed, told so by the test")
for name in units:
    loaded = state["loaded"]
    if verb == "start":
        if name not in loaded:
            text = definition(name)
            if text is None:
                save()
                sys.exit(f"Failed to start {{name}}: Unit {{name}} not found.")
            loaded[name] = {{"text": text, "active": "active"}}
        loaded[name]["active"] = "active"
        if name == "ds01.target":
            for link in sorted((unit_dir / "ds01.target.wants").glob("*")):
                loaded.setdefault(link.name, {{"text": definition(link.name)}})["active"] = "active"
    elif verb == "stop":
        timers = [one for one in loaded if one.endswith(".timer")]
        for one in [name, *(timers if name == "ds01.target" else [])]:
            loaded.pop(one, None)
    elif verb == "reset-failed":
        loaded.pop(name, None)
    elif verb == "enable":
        wants = "multi-user.target" if name == "ds01-start.service" else "ds01.target"
        folder = unit_dir / f"{{wants}}.wants"
        folder.mkdir(exist_ok=True)
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(f"/etc/systemd/system/{{name}}")
    elif verb == "disable":
        for folder in unit_dir.glob("*.wants"):
            (folder / name).unlink(missing_ok=True)
            if not any(folder.iterdir()):
                folder.rmdir()
    elif verb == "show":
        known = loaded.get(name)
        text = definition(name)
        print(f"Id={{name}}")
        print("LoadState=" + ("loaded" if known or text is not None else "not-found"))
        print("ActiveState=" + (known["active"] if known else "inactive"))
        print("UnitFileState=")
        print("NeedDaemonReload=" + ("yes" if known and known["text"] != text else "no"))
        print()
save()
"""


class Systemd:
    """A tree with the folders that the namespace mounts, and the memory of its systemctl."""

    def __init__(self, tmp: Path) -> None:
        self.tree = tmp / "tree"
        self.tmp = tmp
        shutil.copytree("/etc", self.tree / "etc", symlinks=True)
        for folder in FOLDERS:
            (self.tree / folder).mkdir(parents=True, exist_ok=True)
        self.unit_dir = self.tree / "etc/systemd/system"
        programs = tmp / "bin"
        programs.mkdir()
        self._memory = tmp / "systemd.json"
        clear = {"calls": [], "loaded": {}, "fail_at": 0, "signal": 0, "garbage": False}
        self._memory.write_text(json.dumps({**clear, "fail_verb": ""}))
        program = programs / "systemctl"
        program.write_text(SYSTEMCTL.format(python=sys.executable, memory=str(self._memory)))
        program.chmod(0o755)
        mounts = [f"mount --bind {self.tree}/{top} /{top}" for top in ("etc", "run", "var")]
        lines = ["set -e", *mounts, f"PATH={programs}:$PATH", 'exec "$@"']
        self.wrap = ("unshare", "-m", "sh", "-c", "\n".join(lines), "sh")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ds01ctl in the namespace, as on the host itself."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("DS01_")}
        done = subprocess.run(
            [*self.wrap, sys.executable, "-m", "ds01ctl", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**env, "COLUMNS": "200", "NO_COLOR": "1"},
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    @property
    def memory(self) -> dict[str, object]:
        """What the fake systemd has in memory."""
        return dict(json.loads(self._memory.read_text()))

    @property
    def calls(self) -> list[list[str]]:
        """The calls of systemctl that changed something."""
        return [c for c in json.loads(self._memory.read_text())["calls"] if "show" not in c]

    def fail_at(self, call: int, *, signal: int = 0, garbage: bool = False) -> None:
        """Have the n-th call from now on fail, or signal its parent, or say nothing; 0: none."""
        memory = json.loads(self._memory.read_text())
        memory["fail_at"] = len(memory["calls"]) + call if call else 0
        memory |= {"signal": signal, "garbage": garbage}
        self._memory.write_text(json.dumps(memory))

    def fail_once(self, verb: str) -> None:
        """Have the next call with this verb fail."""
        memory = json.loads(self._memory.read_text())
        memory["fail_verb"] = verb
        self._memory.write_text(json.dumps(memory))

    def load(self, name: str, text: str) -> None:
        """Put a unit into memory, active."""
        memory = json.loads(self._memory.read_text())
        memory["loaded"][name] = {"text": text, "active": "active"}
        self._memory.write_text(json.dumps(memory))

    def contents(self) -> dict[str, tuple[int, str]]:
        """Mode and content of everything in the tree, but for our state, by path."""
        found = {}
        for path in sorted(self.tree.rglob("*")):
            name = str(path.relative_to(self.tree))
            if name.startswith(STATE):
                continue
            text = str(path.readlink()) if path.is_symlink() else ""
            if path.is_file() and not path.is_symlink():
                text = path.read_bytes().decode(errors="surrogateescape")
            found[name] = (path.lstat().st_mode, text)
        return found
