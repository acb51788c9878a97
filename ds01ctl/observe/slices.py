"""Ask systemd what it has in memory of slices: one `systemctl show` for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.drift import Told
from ds01ctl.core.model import Gap
from ds01ctl.core.properties import PROPERTIES, SHOWN, of_show
from ds01ctl.errors import Ds01Error
from ds01ctl.observe.systemd import said_of
from ds01ctl.run import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TIMEOUT_S = 60.0
"""A manager that swaps answers late; it is asked seldom, and once."""


def read(
    units: Sequence[str], numbers: Mapping[str, str]
) -> tuple[dict[str, Told], tuple[Gap, ...]]:
    """Ask for slices by name; numbers: MAJ:MIN by device path. What fails leaves a gap."""
    if not units:
        return {}, ()
    argv = ["systemctl", "show", "--no-pager"]
    argv += ["--property", f"Id,DropInPaths,{SHOWN}", "--", *units]
    try:
        done = run(argv, timeout_s=TIMEOUT_S, env={"LC_ALL": "C", "SYSTEMD_COLORS": "0"})
    except Ds01Error as error:
        return {}, (Gap("systemd", "failed", error.message),)
    found = {one["Id"]: _told(one, numbers) for one in said_of(done.stdout) if "Id" in one}
    missing = [unit for unit in units if unit not in found]
    if done.status or missing:
        said = done.stderr.strip().splitlines() or [f"systemctl tells nothing of {missing[0]}"]
        return found, (Gap("systemd", "failed", said[-1]),)
    return found, ()


def _told(said: Mapping[str, str], numbers: Mapping[str, str]) -> Told:
    values = {one.name: of_show(one, said.get(one.show, ""), numbers) for one in PROPERTIES}
    return Told(values, tuple(said.get("DropInPaths", "").split()))
