"""Judge file systems (quotas, free space), energy counters, and what /proc hides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core import doctor_quota
from ds01ctl.core.doctor_row import absent, fine, problem, unknown, warning
from ds01ctl.core.host_facts import Unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.doctor_row import Row
    from ds01ctl.core.host_facts import DiskFacts, HostFacts, Volume

_AREA = "disk"
_WARN_PERCENT, _BAD_PERCENT = 10.0, 2.0


def rows(facts: HostFacts) -> Iterator[Row]:
    """Make the rows of the disks, the energy counters and /proc."""
    yield from _volumes(facts.disk)
    yield _rapl(facts)
    yield _hidepid(facts)


def _volumes(disk: DiskFacts) -> Iterator[Row]:
    if isinstance(disk.volumes, Unread):
        yield unknown(_AREA, "file systems", disk.volumes)
        return
    yield from doctor_quota.rows(disk.volumes, disk.kernel)
    for volume in disk.volumes:
        yield _space(volume)


def _space(volume: Volume) -> Row:
    check, space, inodes = f"space on {volume.mount}", volume.space_percent, volume.inodes_percent
    if volume.is_remote:
        return absent(_AREA, check, f"{volume.type}: not asked, since a dead server never answers")
    if space is None:
        return unknown(_AREA, check, Unread("failed", f"{volume.mount}: does not tell its size"))
    found = f"{space:.0f} % free" + (f", inodes {inodes:.0f} %" if inodes is not None else "")
    least = min(space, 100.0 if inodes is None else inodes)
    if least >= _WARN_PERCENT:
        return fine(_AREA, check, found)
    many = " --inodes" if inodes is not None and inodes < space else ""
    make = problem if least < _BAD_PERCENT else warning
    return make(
        _AREA, check, f"{found} (holds {', '.join(volume.holds)})",
        "when it is full, containers, logs and the state store fail all at once",
        f"see what takes it: du -x{many} --max-depth=2 {volume.mount} | sort -n | tail -n 20",
    )  # fmt: skip


def _rapl(facts: HostFacts) -> Row:
    area, check, zones = "energy", "RAPL", facts.disk.rapl
    if not zones:
        return absent(
            area, check, "no energy counters (a virtual machine, or AMD before Linux 5.8)"
        )
    closed = [zone for zone in zones if not zone.is_read]
    if closed:
        reason = f"{closed[0].path}: may not be read"
        return unknown(area, check, Unread("denied", reason))
    opened = [zone for zone in zones if zone.mode & 0o044]
    if opened:
        return warning(
            area, check, f"{opened[0].path} can be read by everybody",
            "a user can tell another's keys from it (CVE-2020-8694); root reads it anyway",
            f"chmod 0400 {' '.join(zone.path for zone in opened)}; and undo the rule that opened"
            " it: grep -r powercap /etc/udev /etc/tmpfiles.d",
        )  # fmt: skip
    names = sorted({zone.name for zone in zones})
    rest = "" if "dram" in names else "; no dram: its energy is estimated"
    return fine(area, check, f"readable: {', '.join(names)}{rest}")


def _hidepid(facts: HostFacts) -> Row:
    area, check, hidden = "access", "hidepid", facts.disk.hidepid
    if hidden in {None, "0", "off"}:
        return fine(area, check, "off: every process can be seen")
    if facts.own.euid == 0:
        return fine(area, check, f"{hidden}: root sees every process")
    reason = f"hidepid={hidden} on /proc: only one's own processes can be seen"
    return unknown(area, check, Unread("denied", reason))
