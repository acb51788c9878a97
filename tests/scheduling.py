"""Which tests stay together on one worker of pytest-xdist, and which of them begin first."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

LONGEST = ("tests/host", "tests/uml", "tests/test_versions.py")
"""Each on one worker, from the start: the virtual machine goes on beside all the rest."""


def unit(nodeid: str) -> str:
    """Name what a test belongs to: one of the longest, or its file."""
    file = nodeid.partition("::")[0]
    return next((one for one in LONGEST if file == one or file.startswith(f"{one}/")), file)


def rank(nodeid: str) -> int:
    """Say when a test's turn comes; the lowest first."""
    found = unit(nodeid)
    return LONGEST.index(found) if found in LONGEST else len(LONGEST)


class ByUnit(LoadScopeScheduling):
    """Gives a worker that has nothing to do the next unit, in the order of the tests.

    xdist's own ``loadgroup`` writes the group into the test's id, which pytest 9.2 does not take:
    the tests of a file go to all workers by turns, and each has to boot a machine of its own.
    """

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)
