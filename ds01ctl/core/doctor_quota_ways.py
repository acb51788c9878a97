"""Say how disk quotas are turned on: by which command, which line of /etc/fstab, in which order.

Measured (Linux 6.1): XFS counts only what its first mount said, ext4 what its features say; a
remount adds nothing, even where it then shows the option. A mount of ext4 with prjquota and
without the project feature fails, and so does one of XFS on a kernel without XFS_QUOTA.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ds01ctl.core.disk_quota import KINDS
from ds01ctl.core.doctor_row import words
from ds01ctl.core.doctor_systemd import kernel_option
from ds01ctl.core.host_facts import Unread

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ds01ctl.core.disk_quota import QuotaKind
    from ds01ctl.core.host_facts import Volume

KERNEL = "quotas in the kernel"
"""The check that comes before all others."""
# by type and kind; the first one is what an admin writes, the others are the same or shown for it
OPTIONS: dict[str, dict[QuotaKind, tuple[str, ...]]] = {
    "xfs": {"user": ("uquota", "usrquota", "quota"), "project": ("prjquota", "pquota")},
    "ext4": {"user": ("usrquota", "usrjquota"), "project": ("prjquota",)},
}
COUNTING: dict[QuotaKind, tuple[str, ...]] = {
    "user": ("uqnoenforce", "qnoenforce"),
    "project": ("pqnoenforce",),
}
FEATURES: dict[QuotaKind, tuple[str, ...]] = {
    "user": ("quota",),
    "project": ("quota", "project"),
}
TRACKS: dict[QuotaKind, str] = {"user": "usrquota", "project": "prjquota"}
"""What is tracked in a hidden file of ext4, and the word for it in tune2fs -Q."""


def names_of(options: Iterable[str]) -> set[str]:
    """Give the names of mount options, without their values."""
    return {option.partition("=")[0] for option in options}


def way_on(volume: Volume, kinds: Sequence[QuotaKind], *, kernel_is_fit: bool) -> tuple[str, bool]:
    """Say how counting is turned on, and whether by a reboot; ext4 before its line in fstab."""
    first = "" if kernel_is_fit else f"first mend `{KERNEL}`, or it mounts no more; then "
    tuning = tune(volume, kinds) if volume.type == "ext4" else None
    written, is_root = line(volume, kinds), volume.mount == "/"
    if is_root:
        boot = kernel_option("rootflags=" + _root_options(volume, kinds))
        rescue = f"from a rescue system: {tuning}; {written}; " if tuning else ""
        return f"{first}{rescue}{boot}", True
    mount = words(volume.mount)
    stop = f"with nobody using it (fuser -vm {mount})"
    if tuning:
        return f"{first}{stop}: umount {mount} && {tuning}; then {written}; mount {mount}", False
    return f"{first}{written}; {stop}: umount {mount} && mount {mount}, or reboot", False


def way_to_hold(volume: Volume, kind: QuotaKind) -> str:
    """Say how what is counted is held, too: that needs no unmount."""
    mount, letter = words(volume.mount), {"user": "u", "project": "p"}[kind]
    if volume.type == "xfs":
        now = f"xfs_quota -x -c 'enable -{letter}' {mount}"
    else:
        now = f"quotaon -{letter.upper() if kind == 'project' else letter} {mount}"
    if volume.type == "xfs" and volume.mount == "/":
        later = kernel_option("rootflags=" + _root_options(volume, (kind,)))
    else:
        later = line(volume, (kind,))
    return f"{now} (no unmount; a remount does not do it); and for the next boot: {later}"


def tune(volume: Volume, kinds: Sequence[QuotaKind]) -> str | None:
    """Give the command that adds to an unmounted ext4 what it has not got; None: it has all."""
    features = list(dict.fromkeys(name for kind in kinds for name in FEATURES[kind]))
    tracked = [TRACKS[kind] for kind in kinds]
    if volume.ext4 is not None and not isinstance(volume.ext4, Unread):
        features = [name for name in features if name not in volume.ext4.names]
        tracked = [name for name in tracked if name not in volume.ext4.names]
    options = [("-O", features), ("-Q", tracked)]
    given = [f"{option} {','.join(names)}" for option, names in options if names]
    return " ".join(("tune2fs", *given, words(volume.source))) if given else None


def _root_options(volume: Volume, kinds: Sequence[QuotaKind]) -> str:
    """Give all that the root file system is to be mounted with: what is on stays."""
    now, by_kind = names_of(volume.options), OPTIONS[volume.type]
    wanted = [kind for kind in KINDS if kind in kinds or now.intersection(by_kind[kind])]
    return ",".join(by_kind[kind][0] for kind in wanted)


def line(volume: Volume, kinds: Sequence[QuotaKind]) -> str:
    """Say what /etc/fstab should have."""
    return f"in /etc/fstab: {fstab_line(volume, kinds)}"


def fstab_line(volume: Volume, kinds: Sequence[QuotaKind] = KINDS) -> str:
    """Give the line of /etc/fstab that turns quotas on, made from the one that is there."""
    own = f"{_escaped(volume.source)} {_escaped(volume.mount)} {volume.type} defaults 0 2"
    fields = (volume.fstab or own).split()
    fields += ["defaults", "0", "2"][max(len(fields) - 3, 0) :]
    against = {"noquota", *(name for kind in kinds for name in COUNTING[kind])}
    options = [option for option in fields[3].split(",") if option not in against]
    for kind in kinds:
        if not names_of(options).intersection(OPTIONS[volume.type][kind]):
            options.append(OPTIONS[volume.type][kind][0])
    fields[3] = ",".join(options)
    return " ".join(fields)


def _escaped(text: str) -> str:
    """Write a blank as fstab(5) wants it."""
    return re.sub(r"[\s\\]", lambda match: f"\\{ord(match[0]):03o}", text)
