"""Why quotas are not on is told with what would turn them on."""

from __future__ import annotations

import pytest

from ds01ctl.core.quota_off import why_not_enforced, why_off, why_remote


@pytest.mark.parametrize(
    ("kind", "type_", "mount", "options", "others", "words"),
    [
        ("user", "xfs", "/home", (), False, "add uquota in /etc/fstab, then umount and mount it"),
        ("project", "xfs", "/home", (), True, "XFS is mounted without pquota"),
        ("project", "xfs", "/", (), False, "rootflags=pquota"),
        ("user", "ext4", "/home", (), False, "unmounted: tune2fs -O quota -Q usrquota /dev/sdb1"),
        ("user", "ext4", "/", (), False, "from a rescue system: tune2fs"),
        ("project", "ext4", "/home", (), True, "has the quota feature, but not for projects"),
        ("user", "ext4", "/", ("usrjquota=aquota.user",), False, "quotacheck -cum /"),
        ("project", "ext4", "/home", ("usrquota",), False, "made without the quota feature"),
        ("user", "btrfs", "/home", (), False, "btrfs qgroup limit"),
        ("user", "zfs", "/home", (), False, "zfs set userquota@USER=SIZE"),
        ("user", "tmpfs", "/tmp", (), False, "tmpfs is memory"),
        ("user", "overlay", "/", (), False, "the file system its upper folder lies on"),
        ("user", "vfat", "/boot", (), False, "vfat has no quotas that ds01ctl knows"),
    ],
)
def test_why_off(kind, type_, mount, options, others, words) -> None:
    assert words in why_off(kind, type_, mount, "/dev/sdb1", options, others=others)


@pytest.mark.parametrize(
    ("type_", "words"),
    [
        ("nfs4", "quotas are set on the server"),
        ("cifs", "quotas are set on the server"),
        ("fuse.sshfs", "a program answers for it"),
        ("autofs", "nothing is mounted there yet"),
    ],
)
def test_why_remote(type_, words) -> None:
    assert words in why_remote(type_)


@pytest.mark.parametrize(
    ("kind", "type_", "words"),
    [
        ("user", "xfs", "mounted with uqnoenforce; add uquota in /etc/fstab"),
        ("project", "xfs", "mounted with pqnoenforce; add pquota in /etc/fstab"),
        ("user", "ext4", "now: quotaon -u /home; later: usrquota in /etc/fstab"),
        ("project", "ext4", "now: quotaon -P /home; later: prjquota in /etc/fstab"),
    ],
)
def test_why_not_enforced(kind, type_, words) -> None:
    assert words in why_not_enforced(kind, type_, "/home")
