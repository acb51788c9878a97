"""The system calls do what they say on XFS and ext4, and agree with repquota."""

from __future__ import annotations

import csv
import errno
import os
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ds01ctl import quotactl
from ds01ctl.core.disk_quota import ALL_KINDS, DiskQuota, Limits, in_blocks
from ds01ctl.quotactl import HIGHEST_ID, LARGEST, Grace, Handle, QuotaError, State
from tests.uml.inside import seccomp
from tests.uml.inside.conftest import as_user, call
from tests.uml.inside.places import BOTH, KIB, MIB, Where, sync, tag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.disk_quota import QuotaKind

GIB = 1024 * MIB


@pytest.fixture(params=BOTH, ids=lambda where: where.type)
def where(request: pytest.FixtureRequest) -> Where:
    found: Where = request.param
    return found


@pytest.fixture
def handle(where: Where) -> Iterator[Handle]:
    with quotactl.opened(where.mount, where.device) as opened:
        yield opened


@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize("id_", [1, 1000, 2**31 - 1, 2**31 + 3, HIGHEST_ID])
def test_limits_are_read_back(handle: Handle, kind: QuotaKind, id_: int) -> None:
    quotactl.set_quota(handle, kind, id_, byte_limits=(5 * GIB, 6 * GIB), inode_limits=(70, 80))
    assert quotactl.get_quota(handle, kind, id_) == DiskQuota(
        id_, 0, 0, Limits(5 * GIB, 6 * GIB, 70, 80)
    )
    assert id_ in [one.id for one in quotactl.all_quotas(handle, kind)]
    quotactl.set_quota(handle, kind, id_, byte_limits=(0, 0), inode_limits=(0, 0))
    assert quotactl.get_quota(handle, kind, id_) == DiskQuota(id_, 0, 0)


def test_one_pair_is_set_without_the_other(handle: Handle) -> None:
    quotactl.set_quota(handle, "user", 1100, byte_limits=(GIB, 2 * GIB), inode_limits=(3, 4))
    quotactl.set_quota(handle, "user", 1100, inode_limits=(5, 6))
    quotactl.set_quota(handle, "user", 1100, byte_limits=(0, 3 * GIB))
    assert quotactl.get_quota(handle, "user", 1100).limits == Limits(0, 3 * GIB, 5, 6)


@pytest.mark.parametrize("size", [1, 1023, 1025, 4095, 4097, 10**9, 2**50 + 1, LARGEST])
def test_bytes_are_kept_in_whole_blocks(handle: Handle, size: int) -> None:
    quotactl.set_quota(handle, "user", 1101, byte_limits=(size, size))
    kept = quotactl.get_quota(handle, "user", 1101).limits
    assert kept == in_blocks(Limits(size, size), quotactl.block_bytes(handle))
    assert kept.hard_bytes >= size


@pytest.mark.parametrize("size", [-1, LARGEST + 1, 2**63, 2**64 - 1, 2**64])
def test_what_would_be_kept_wrongly_is_refused(handle: Handle, size: int) -> None:
    with pytest.raises(QuotaError, match="range") as bytes_:
        quotactl.set_quota(handle, "user", 1102, byte_limits=(size, 0))
    with pytest.raises(QuotaError, match="range") as inodes:
        quotactl.set_quota(handle, "user", 1102, inode_limits=(0, size))
    assert {bytes_.value.number, inodes.value.number} == {errno.ERANGE}
    assert quotactl.get_quota(handle, "user", 1102).limits == Limits()


@pytest.mark.parametrize("id_", [-1, HIGHEST_ID + 1, 2**32, 2**32 + 1000])
def test_no_other_id_is_meant(handle: Handle, id_: int) -> None:
    """An id that is too large would come out as a small one."""
    with pytest.raises(QuotaError):
        quotactl.set_quota(handle, "user", id_, byte_limits=(GIB, GIB))
    with pytest.raises(QuotaError):
        quotactl.get_quota(handle, "user", id_)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_grace(handle: Handle, kind: QuotaKind) -> None:
    quotactl.set_info(handle, kind, bytes_s=86_400, inodes_s=3_600)
    assert quotactl.get_info(handle, kind) == Grace(86_400, 3_600)
    quotactl.set_info(handle, kind, inodes_s=7_200)
    assert quotactl.get_info(handle, kind) == Grace(86_400, 7_200)
    with pytest.raises(QuotaError, match="range"):
        quotactl.set_info(handle, kind, bytes_s=2**33)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_no_timer_of_id_0(handle: Handle, kind: QuotaKind) -> None:
    """XFS gives the length of the grace as id 0's timer."""
    quotactl.set_info(handle, kind, bytes_s=86_400, inodes_s=3_600)
    for one in (quotactl.get_quota(handle, kind, 0), quotactl.all_quotas(handle, kind)[0]):
        assert (one.id, one.bytes_grace_end, one.inodes_grace_end) == (0, 0, 0)


def test_state(handle: Handle) -> None:
    on = State(is_on=True, is_enforced=True)
    assert quotactl.get_state(handle) == dict.fromkeys(ALL_KINDS, on)


@pytest.mark.parametrize(
    ("mount", "source", "number"),
    [
        ("/plain", "/dev/ubdc", errno.ESRCH),
        ("/plainxfs", "/dev/ubdd", errno.ENOSYS),
        ("/run/tmp", "tmpfs", errno.ENOSYS),
        ("/", "overlay", errno.ENOSYS),
        ("/proc", "proc", errno.ENOSYS),
    ],
)
def test_where_there_are_none(mount: str, source: str, number: int) -> None:
    with quotactl.opened(mount, source) as handle:
        assert set(quotactl.get_state(handle).values()) == {quotactl.NEITHER}
        with pytest.raises(QuotaError) as caught:
            quotactl.all_quotas(handle, "user")
    assert caught.value.number == number
    assert caught.value.message.startswith(f"{mount}: ")


def test_no_such_folder() -> None:
    with (
        pytest.raises(QuotaError, match=r"/none: no such file or folder"),
        quotactl.opened("/none", "x"),
    ):
        pass


def test_without_privilege(handle: Handle) -> None:
    """One's own record may be read, and nothing else."""
    errors = []

    def look() -> None:
        assert quotactl.get_quota(handle, "user", 1234).id == 1234
        assert quotactl.get_info(handle, "user")
        for do in (
            lambda: quotactl.get_quota(handle, "user", 1235),
            lambda: quotactl.all_quotas(handle, "user"),
            lambda: quotactl.set_quota(handle, "user", 1234, byte_limits=(0, 0)),
            lambda: quotactl.set_info(handle, "user", bytes_s=1),
        ):
            with pytest.raises(QuotaError) as caught:
                do()
            errors.append((caught.value.number, caught.value.hint))

    assert as_user(1234, look) == 0
    assert errors == [(errno.EPERM, "run it as root")] * 4


def test_a_kernel_without_the_newer_call(where: Where) -> None:
    """Before 5.14 there is only the one that wants the device's path."""
    pid = os.fork()
    if not pid:
        try:
            seccomp.forget(443)
            _by_path(where)
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _by_path(where: Where) -> None:
    with (
        quotactl.opened(where.mount, "/no/such/device") as handle,
        pytest.raises(QuotaError, match="has no quotas"),
    ):
        quotactl.all_quotas(handle, "user")
    with quotactl.opened(where.mount, where.device) as handle:
        quotactl.set_quota(handle, "user", 1300, byte_limits=(GIB, 2 * GIB))
        found = {one.id: one.limits for one in quotactl.all_quotas(handle, "user")}
        assert quotactl.get_state(handle)["user"].is_enforced
    assert found[1300] == Limits(GIB, 2 * GIB)
    assert len(found) > 1


# --- beside repquota ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many() -> None:
    """Have 200 users and projects on both: large ids, over soft, at hard, with and without use."""
    for place in BOTH:
        _have_many(place)


def _have_many(place: Where) -> None:
    folder = Path(place.mount, "many")
    folder.mkdir()
    with quotactl.opened(place.mount, place.device) as handle:
        for number in range(200):
            id_ = (3000 + number) if number % 2 else 2**31 + 37 * number
            path = folder / str(number)
            path.mkdir()
            os.chown(path, id_, id_)
            tag(path, id_)
            _limit_one(handle, number, id_)
            if number % 3 == 0:
                (path / "file").write_bytes(bytes((number % 10) * 8 * KIB + 100))
                os.chown(path / "file", id_, id_)
    sync(folder)


def _limit_one(handle: Handle, number: int, id_: int) -> None:
    if number % 4 == 3:
        return
    for kind in ALL_KINDS:
        quotactl.set_quota(
            handle, kind, id_, byte_limits=(16 * KIB, MIB * (number % 5)),
            inode_limits=(1 if number % 7 == 0 else 0, number),
        )  # fmt: skip


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_every_row_is_that_of_repquota(
    many: None, where: Where, handle: Handle, kind: QuotaKind
) -> None:
    option = {"user": "-u", "group": "-g", "project": "-P"}[kind]
    done = call("repquota", "-v", "-n", "-p", "-O", "csv", option, where.mount)
    rows = list(csv.reader(done.stdout.splitlines()))[1:]
    theirs = [(int(name[1:]), *map(int, row)) for name, _, _, *row in filter(None, rows)]
    ours = [_row(one) for one in quotactl.all_quotas(handle, kind)]
    assert ours == sorted(theirs)
    assert len(ours) > 200
    # there is something to see in them
    assert sum(1 for row in ours if row[0] > 2**31) >= 90
    assert sum(1 for row in ours if row[4]) > 10
    assert sum(1 for row in ours if row[8]) > 5


def _row(one: DiskQuota) -> tuple[int, ...]:
    """Give what repquota shows: sizes in KiB, rounded up."""
    limits = one.limits
    return (
        one.id,
        -(-one.used_bytes // KIB), limits.soft_bytes // KIB, limits.hard_bytes // KIB,
        one.bytes_grace_end,
        one.used_inodes, limits.soft_inodes, limits.hard_inodes, one.inodes_grace_end,
    )  # fmt: skip
