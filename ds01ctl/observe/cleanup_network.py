"""How much a container has sent and received, from the counters of its own network namespace.

Source: proc_pid_net(5), proc_net_dev; the counters begin with the namespace.
"""

from __future__ import annotations

import os
from contextlib import suppress

from ds01ctl.core.cleanup_model import Reading
from ds01ctl.observe import procfs

_MOST_BYTES = 1 << 20
_LOOPBACK = b"lo"
_RECEIVED, _SENT = 0, 8
_COLUMNS = 16


def host_namespace(proc: str) -> str | OSError:
    """Read which network namespace is the host's own, or why that is not known.

    Where we may not ask PID 1 ours has to do: were it another, the host's own counters would be
    taken for a container's, and make nobody idle.
    """
    try:
        return os.readlink(f"{proc}/1/ns/net")  # noqa: PTH115 -- text is wanted
    except OSError as error:
        with suppress(OSError):
            return os.readlink(f"{proc}/self/ns/net")  # noqa: PTH115 -- text is wanted
        return error


def read(process: int, host: str | OSError) -> Reading:
    """Read the bytes of a container's namespace; process: the open folder of its first process.

    Absent where it has none of its own: the host's counters say nothing of it.
    """
    try:
        if isinstance(host, OSError):
            raise host
        namespace = os.readlink("ns/net", dir_fd=process)
        if namespace == host:
            return Reading("absent", detail="host network")
        text = procfs.read_bounded("net/dev", _MOST_BYTES, folder=process)
        return Reading("known", float(_bytes(text)), f"net/dev of {namespace}")
    except OSError as error:
        return Reading("failed", detail=f"network: {(error.strerror or 'unreadable').lower()}")
    except (ValueError, IndexError):
        return Reading("failed", detail="net/dev: not understood")


def _bytes(text: bytes) -> int:
    """Sum what all devices but the loopback's received and sent; two lines of headings."""
    total = 0
    for line in text.split(b"\n")[2:]:
        # a name has no colon (kernel: dev_valid_name)
        name, colon, rest = line.partition(b":")
        if colon and name.strip() != _LOOPBACK:
            counts = rest.split()
            if len(counts) != _COLUMNS:
                raise ValueError
            total += int(counts[_RECEIVED]) + int(counts[_SENT])
    return total
