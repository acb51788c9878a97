"""What a command hands to the command line: its result, and how to show it to people."""

from __future__ import annotations

from collections.abc import Callable

from ds01ctl.core.plan import Result
from ds01ctl.core.record import NamedTuple
from ds01ctl.errors import ExitCode


class Shown(NamedTuple):
    """A result with its rendering."""

    result: Result
    render: Callable[[], None]
    as_json: bool = False
    exit_on_findings: bool = False
    exit_code: ExitCode = ExitCode.OK
