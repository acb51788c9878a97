"""Measure this very run, for what a job notes of itself at its end."""

from __future__ import annotations

import resource
import time
from datetime import timedelta

from ds01ctl.commands import gathering
from ds01ctl.core.unit_state import Run


def own_run(began: float, status: int) -> Run:
    """Tell when this run began and what it has used until now; began: by time.monotonic().

    The CPU time is the whole process's, from the interpreter's start, and that of its children.
    Source: getrusage(2); ru_maxrss is in KiB.
    """
    now = gathering.utcnow()
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    peak_kib = max(own.ru_maxrss, children.ru_maxrss)
    began_at = now - timedelta(seconds=time.monotonic() - began)
    return Run(began_at, now, int(status), int(cpu_s * 1e6), peak_kib * 1024)
