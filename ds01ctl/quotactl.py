"""Ask and tell the kernel about disk quotas: the one module that makes these system calls.

Source: quotactl(2), quotactl_fd(2), the kernel's include/uapi/linux/quota.h and dqblk_xfs.h. The
same calls serve XFS and ext4. Limits of bytes pass in blocks of 1,024; XFS keeps them in blocks of
its own (mostly 4,096), rounded up. Usage is in bytes, timers are epoch seconds.
"""

from __future__ import annotations

import errno
import os
import struct
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.core.disk_quota import DiskQuota, Limits, QuotaKind
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_QUOTACTL_FD = 443
_QUOTACTL = {"x86_64": 179, "aarch64": 60, "riscv64": 60}
_GET_INFO, _SET_INFO = 0x800005, 0x800006
_GET, _SET, _GET_NEXT = 0x800007, 0x800008, 0x800009
_GET_STATE = 0x5808
_TYPES: Mapping[QuotaKind, int] = {"user": 0, "group": 1, "project": 2}
_BLOCK = 1024
HIGHEST_ID = 2**32 - 2
LARGEST = 2**62
"""Of bytes, inodes and seconds: XFS keeps a nonsense of more than this, and says nothing."""
LONGEST_GRACE_S = 2**32 - 1

# if_nextdqblk: hard, soft, used bytes; the same of inodes; both timers; what is valid; the id
_RECORD = struct.Struct("=8QII")
_BYTE_LIMITS, _INODE_LIMITS, _BYTE_TIMER, _INODE_TIMER = 1, 4, 16, 32
# if_dqinfo: both graces, flags, what is valid
_INFO = struct.Struct("=QQII")
_BYTE_GRACE, _INODE_GRACE = 1, 2
# fs_quota_statv: version, flags; the rest is of XFS's own files
_STATE = struct.Struct("=bxH156x")
_STATE_VERSION = 1

_WORDS = {
    errno.ESRCH: ("quotas of this kind are not on", "see ds01ctl doctor"),
    errno.ENOSYS: ("has no quotas", "see ds01ctl doctor"),
    errno.EPERM: ("not permitted", "run it as root"),
    errno.EACCES: ("not permitted", "run it as root"),
    errno.EROFS: ("is mounted read-only", None),
    errno.ERANGE: ("a limit or time is out of the range that can be kept", None),
    errno.EINVAL: ("the kernel does not take this id or limit", None),
    errno.ENOENT: ("no such file or folder", None),
    errno.EIO: ("cannot be read or written: input/output error", "see dmesg"),
}


class QuotaError(Ds01Error):
    """The kernel refused; ``number`` is its errno."""

    def __init__(self, number: int, where: str) -> None:
        words, hint = _WORDS.get(number, (os.strerror(number), None))
        super().__init__(f"{where}: {words}", hint)
        self.number = number


class Handle(NamedTuple):
    """A file system that is held open; for one thread."""

    fd: int
    mount: str
    source: str
    """Its device: what a kernel before 5.14 wants to be told."""
    buffer: Any
    """What passes to the kernel and back: of ctypes, one for all calls, as there may be many."""


class State(NamedTuple):
    """Whether ids of one kind are counted, and whether their limits hold."""

    is_on: bool
    is_enforced: bool


class Grace(NamedTuple):
    """Seconds from a soft limit's crossing until it holds."""

    bytes_s: int
    inodes_s: int


NEITHER = State(is_on=False, is_enforced=False)


@contextmanager
def opened(mount: str | Path, source: str) -> Iterator[Handle]:
    """Hold a file system open; any path on it will do. Raises QuotaError."""
    try:
        # it is only named, not read: so there need be no right to read the folder
        fd = os.open(mount, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise QuotaError(error.errno or errno.EIO, str(mount)) from None
    try:
        yield Handle(fd, str(mount), source, _buffer())
    finally:
        os.close(fd)


def block_bytes(handle: Handle) -> int:
    """Tell the size of the blocks that limits of bytes are kept in. Raises OSError."""
    return max(_BLOCK, os.fstatvfs(handle.fd).f_frsize)


def get_state(handle: Handle) -> Mapping[QuotaKind, State]:
    """Read what is on, of all kinds at once. Raises QuotaError, but not for "none is on"."""
    _STATE.pack_into(handle.buffer, 0, _STATE_VERSION, 0)
    number = _try(handle, _GET_STATE, "user", 0)
    if number in {errno.ENOSYS, errno.ESRCH, errno.EINVAL}:
        return dict.fromkeys(_TYPES, NEITHER)
    if number:
        raise QuotaError(number, handle.mount)
    _, flags = _STATE.unpack_from(handle.buffer)
    # two bits a kind: FS_QUOTA_UDQ_ACCT, FS_QUOTA_UDQ_ENFD, those of groups, of projects
    return {
        kind: State(bool(flags & 1 << 2 * at), bool(flags & 2 << 2 * at))
        for kind, at in _TYPES.items()
    }


def get_info(handle: Handle, kind: QuotaKind) -> Grace:
    """Read how long the graces are. Raises QuotaError."""
    _call(handle, _GET_INFO, kind, 0)
    return Grace(*_INFO.unpack_from(handle.buffer)[:2])


def set_info(
    handle: Handle, kind: QuotaKind, *, bytes_s: int | None = None, inodes_s: int | None = None
) -> None:
    """Set how long the graces are; timers that run are left alone. Raises QuotaError."""
    _check_range(handle, LONGEST_GRACE_S, bytes_s, inodes_s)
    valid = _bits((bytes_s, _BYTE_GRACE), (inodes_s, _INODE_GRACE))
    _INFO.pack_into(handle.buffer, 0, bytes_s or 0, inodes_s or 0, 0, valid)
    _call(handle, _SET_INFO, kind, 0)


def get_quota(handle: Handle, kind: QuotaKind, id_: int) -> DiskQuota:
    """Read one id; one that the file system knows nothing of has zeroes. Raises QuotaError."""
    _check_id(handle, id_)
    number = _try(handle, _GET, kind, id_)
    if number == errno.ENOENT:
        return DiskQuota(id_, 0, 0)
    if number:
        raise QuotaError(number, handle.mount)
    return _quota(_RECORD.unpack_from(handle.buffer), id_)


def all_quotas(handle: Handle, kind: QuotaKind) -> list[DiskQuota]:
    """Read every id that uses something or has a limit, by rising id. Raises QuotaError."""
    step, buffer = _stepper(handle, _GET_NEXT, kind), handle.buffer
    unpack, found, following = _RECORD.unpack_from, list[DiskQuota](), 0
    while following <= HIGHEST_ID:
        if step(following):
            # once more: for the errno, and with the older call where this one is not known
            number = _try(handle, _GET_NEXT, kind, following)
            if number == errno.ENOENT:
                break
            if number:
                raise QuotaError(number, handle.mount)
        raw = unpack(buffer)
        id_ = raw[9]
        if id_ < following:
            break
        found.append(_quota(raw, id_))
        following = id_ + 1
    return found


def set_quota(
    handle: Handle,
    kind: QuotaKind,
    id_: int,
    *,
    byte_limits: tuple[int, int] | None = None,
    inode_limits: tuple[int, int] | None = None,
    bytes_grace_end: int | None = None,
    inodes_grace_end: int | None = None,
) -> None:
    """Set an id's limits (soft, hard) and timers; what is None stays. Raises QuotaError.

    ext4 restarts a running grace when limits are set without its timer, even the same limits.
    """
    valid = _bits(
        (byte_limits, _BYTE_LIMITS), (inode_limits, _INODE_LIMITS),
        (bytes_grace_end, _BYTE_TIMER), (inodes_grace_end, _INODE_TIMER),
    )  # fmt: skip
    soft, hard = byte_limits or (0, 0)
    soft_inodes, hard_inodes = inode_limits or (0, 0)
    _check_id(handle, id_)
    given = (soft, hard, soft_inodes, hard_inodes, bytes_grace_end, inodes_grace_end)
    _check_range(handle, LARGEST, *given)
    _RECORD.pack_into(
        handle.buffer, 0, -(-hard // _BLOCK), -(-soft // _BLOCK), 0, hard_inodes, soft_inodes, 0,
        bytes_grace_end or 0, inodes_grace_end or 0, valid, 0,
    )  # fmt: skip
    _call(handle, _SET, kind, id_)


def _bits(*given: tuple[object, int]) -> int:
    return sum(bit for value, bit in given if value is not None)


def _check_id(handle: Handle, id_: int) -> None:
    """Refuse what would be cut to another id on its way."""
    if not 0 <= id_ <= HIGHEST_ID:
        raise QuotaError(errno.EINVAL, handle.mount)


def _check_range(handle: Handle, most: int, *values: int | None) -> None:
    for value in values:
        if value is not None and not 0 <= value <= most:
            raise QuotaError(errno.ERANGE, handle.mount)


def _quota(raw: tuple[int, ...], id_: int) -> DiskQuota:
    hard, soft, used, hard_inodes, soft_inodes, inodes, bytes_end, inodes_end, _, _ = raw
    limits = _limits(soft, hard, soft_inodes, hard_inodes)
    if not id_:
        # no limit binds it, and no timer runs: XFS keeps there how long the graces are
        return DiskQuota(0, used, inodes, limits)
    return DiskQuota(id_, used, inodes, limits, bytes_end, inodes_end)


@lru_cache(maxsize=1024)
def _limits(soft: int, hard: int, soft_inodes: int, hard_inodes: int) -> Limits:
    """Make limits of what the kernel tells; thousands have the same."""
    return Limits(soft * _BLOCK, hard * _BLOCK, soft_inodes, hard_inodes)


# --- the system call ----------------------------------------------------------------------------


def _buffer() -> Any:
    import ctypes

    return ctypes.create_string_buffer(max(one.size for one in (_RECORD, _INFO, _STATE)))


def _stepper(handle: Handle, command: int, kind: QuotaKind) -> Callable[[int], int]:
    """Make the newer call for one id after the other, with as little else as can be."""
    import ctypes

    by_fd, _, _ = _kernel()
    operation, fd, address = command << 8 | _TYPES[kind], handle.fd, ctypes.addressof(handle.buffer)
    return lambda id_: by_fd(_QUOTACTL_FD, fd, operation, id_, address)


def _call(handle: Handle, command: int, kind: QuotaKind, id_: int) -> None:
    number = _try(handle, command, kind, id_)
    if number:
        raise QuotaError(number, handle.mount)


def _try(handle: Handle, command: int, kind: QuotaKind, id_: int) -> int:
    """Make the call; its errno, 0 when it went well."""
    by_fd, by_path, last_error = _kernel()
    operation = command << 8 | _TYPES[kind]
    if not by_fd(_QUOTACTL_FD, handle.fd, operation, id_, handle.buffer):
        return 0
    number = last_error()
    # a kernel that does not know the call, a file system without quotas, or a mount that is
    # read-only for us alone, as in a hardened service, while its device may be written to
    if number in {errno.ENOSYS, errno.EROFS} and by_path is not None:
        if not by_path(operation, os.fsencode(handle.source), id_, handle.buffer):
            return 0
        older = last_error()
        return number if _is_no_device(older, handle.source) else older
    return number


def _is_no_device(number: int, source: str) -> bool:
    """Tell whether it was the path that was wrong; ENOENT is also how a walk ends."""
    return number == errno.ENOTBLK or (number == errno.ENOENT and not Path(source).exists())


@lru_cache(maxsize=1)
def _kernel() -> tuple[Callable[..., int], Callable[..., int] | None, Callable[[], int]]:
    """Find both forms of the call, and what tells their errno."""
    import ctypes

    # two of them, as the types of the arguments belong to the function
    by_fd, by_path = (ctypes.CDLL(None, use_errno=True).syscall for _ in range(2))
    by_fd.restype = by_path.restype = ctypes.c_long
    long, word, text, buffer = ctypes.c_long, ctypes.c_uint, ctypes.c_char_p, ctypes.c_void_p
    by_fd.argtypes = [long, word, word, word, buffer]
    by_path.argtypes = [long, word, text, word, buffer]
    number = _QUOTACTL.get(os.uname().machine)
    return by_fd, None if number is None else partial(by_path, number), ctypes.get_errno
