"""The folders that run-parts works through: which scripts it runs, and what cron does with it."""

from __future__ import annotations

import re
from typing import NamedTuple

from ds01ctl.cron.crontab import Entry
from ds01ctl.cron.fields import parse
from ds01ctl.cron.settings import Setting

FOLDERS = {
    "/etc/cron.hourly": ("17", "*", "*", "*", "*"),
    "/etc/cron.daily": ("25", "6", "*", "*", "*"),
    "/etc/cron.weekly": ("47", "6", "*", "*", "7"),
    "/etc/cron.monthly": ("52", "6", "1", "*", "*"),
}
"""When Debian's /etc/crontab runs each."""
_PATH = "/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin"
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_DEFERS = re.compile(r"-[de]\s+\"?/run/systemd/system")


class Script(NamedTuple):
    """One file in such a folder."""

    name: str
    skipped: str | None = None
    """Why run-parts does not run it."""
    defers: bool = False
    """It asks for /run/systemd/system: it leaves its work to a timer of its package."""

    @property
    def runs(self) -> bool:
        """Tell whether run-parts runs it."""
        return self.skipped is None


def script(name: str, *, is_executable: bool, text: str) -> Script:
    """Judge a file as run-parts does; a name with a dot is none to it (run-parts(8))."""
    if not _NAME.fullmatch(name):
        return Script(name, "a name may have letters, digits, - and _ only")
    if not is_executable:
        return Script(name, "not executable")
    return Script(name, defers=bool(_DEFERS.search(text)))


def is_crontab_name(name: str) -> bool:
    """Tell whether cron reads a file of that name in /etc/cron.d."""
    return bool(_NAME.fullmatch(name))


def job(folder: str) -> Entry:
    """Make the entry of a folder that no line of a crontab runs, as Debian's would be."""
    minute, hour, day, month, weekday = when = FOLDERS[folder]
    schedule = parse((minute, hour, day, month, weekday))
    command = f"cd / && run-parts --report {folder}"
    path = (Setting("PATH", _PATH),)
    return Entry(folder, 0, "", " ".join(when), schedule, "root", command, None, path)
