"""The values of `cleanup`: what is seen of a container, what is remembered, what is decided.

A container's run is identified by its full id and StartedAt; nothing is keyed by a name. Elapsed
times are *observed*: the clock of the wall alone never makes anything older (see Clock).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ds01ctl.core.cleanup_words import Ending

Part = Literal[
    "idle",
    "runtime",
    "stopped",
    "created",
    "images",
    "cache",
    "volumes",
    "networks",
    "gpu-holds",
    "users",
]
PARTS: tuple[Part, ...] = (
    "idle", "runtime", "stopped", "created", "images", "cache", "volumes", "networks",
    "gpu-holds", "users",
)  # fmt: skip
Signal = Literal["gpu", "cpu", "network", "block-io", "sessions", "jupyter"]
SIGNALS: tuple[Signal, ...] = ("gpu", "cpu", "network", "block-io", "sessions", "jupyter")
Mode = Literal["report", "enforce"]


class Clock(NamedTuple):
    """What time it is, by the wall and since boot."""

    now: datetime
    """Aware UTC; may be stepped back or ahead at any time."""
    boot_id: str
    boottime_s: float
    """CLOCK_BOOTTIME: never stepped, and goes on while the machine is suspended."""


# --- one look at a running container ----------------------------------------------------------


class Reading(NamedTuple):
    """One signal of one container, at one moment.

    gpu: the highest use of a GPU by any process of the container since the last sample, percent;
    0 where it has no process on a GPU. cpu: microseconds, network and block-io: bytes, each
    counted since the container started. sessions and jupyter: when something was last done, in
    seconds since 1970; 0: never.
    """

    state: Literal["known", "absent", "failed"]
    """absent: this container has no such signal (its network is the host's), the others decide;
    failed: it has, but it could not be read, and nothing can be concluded."""
    value: float = 0.0
    detail: str = ""
    """For `why`: where it was read, or why it was not."""


class Sample(NamedTuple):
    """All signals of one run of one container, at one moment."""

    id: str
    started_at: datetime
    at: Clock
    readings: Mapping[Signal, Reading]
    gpu_memory_bytes: int | None = None
    """Held on GPUs by its processes; None: not known, or it has no GPU."""
    age_s: float | None = None
    """Since its first process started, by the clock since boot, which nothing sets; None: not
    known, and what the wall's clock says of its age is believed at first sight."""


class Interval(NamedTuple):
    """What was between two samples of one run."""

    at: datetime
    seconds: float
    verdict: Literal["active", "idle", "unknown", "baseline"]
    """baseline: a first sample, or one after a gap; it proves nothing."""
    evidence: tuple[str, ...]
    """One line a signal: ``cpu 0.3 % < 2 %``."""


class Warned(NamedTuple):
    """A warning that was delivered."""

    part: Part
    stage: int
    """1 or 2."""
    at: datetime
    counted_s: float
    """The idle or run time that was counted then."""
    channels: tuple[str, ...]
    """How it was delivered: ``terminal pts/3``, ``file …``, ``mail …``, ``notice …``."""
    errors: tuple[str, ...] = ()
    """Why other channels did not take it: ``mail …: connection refused``."""


class Watch(NamedTuple):
    """What is remembered of one container from run to run, by its full id."""

    id: str
    engine: str
    name: str
    """For people only: it may be another's tomorrow."""
    state: str
    started_at: datetime | None
    finished_at: datetime | None
    looked: Clock
    """The last look; time that passed without looks counts for nothing."""
    last: Sample | None = None
    streak: int = 0
    """Idle intervals in a row."""
    idle_s: float = 0.0
    """Observed idle time of this run."""
    first_started_at: datetime | None = None
    ran_s: float = 0.0
    """Run time of all runs together, without the time in between."""
    run_s: float = 0.0
    """Of them the present run's, or the last one's."""
    stopped_s: float = 0.0
    """Observed time in the state exited or dead, of this stop."""
    created_s: float = 0.0
    """Observed time in the state created."""
    warned: tuple[Warned, ...] = ()
    """Of the present idleness, and of the run time."""
    intervals: tuple[Interval, ...] = ()
    """The last ones, newest last; at most KEPT_INTERVALS."""
    stopped_by_us: str = ""
    """Why `cleanup` stopped it; empty: it did not."""
    hold_from_s: float = 0.0
    """The not_running_s at which its hold began: until then it was not to be removed at all."""
    promised_s: float = 0.0
    """The hold that its owner was told of; a shorter one of today's policy does not count."""
    is_hold_told: bool = False
    """Its owner was told when it is removed, or it was tried."""
    gpu_released: bool = False
    had_gpu: bool = False
    """It was made with access to a GPU, or was seen on one."""

    @property
    def not_running_s(self) -> float:
        """Give how long it was seen stopped, or never started."""
        return self.stopped_s + self.created_s

    @property
    def held_s(self) -> float:
        """Give how much of that counts for its hold."""
        return max(0.0, self.not_running_s - self.hold_from_s)


KEPT_INTERVALS = 24


class Keep(NamedTuple):
    """Leave for one container not to be stopped or removed."""

    id: str
    until: datetime | None
    """None: for ever (an admin's alone)."""
    by: str
    """The admin's login, or the file of the user."""
    reason: str = ""
    problem: str = ""
    """The file can't be read as meant: it defers all the same, and is told."""
    since: datetime | None = None
    """When it was given, or the file last touched; None: not known."""
    is_doubt: bool = False
    """Nobody gave it: its work folder is another's than whose it is said to be (``problem``)."""


# --- what is decided --------------------------------------------------------------------------

ChangeKind = Literal[
    "warn",
    "stop-container",
    "remove-container",
    "release-gpu",
    "remove-image",
    "untag-image",
    "prune-build-cache",
    "remove-network",
    "revoke-grant",
    "start-container",
    "remove-volume",
]
"""The last two only ever at the word of an admin who named the thing."""


class Change(NamedTuple):
    """One thing to do. ``identity`` is what must still hold right before it is done."""

    kind: ChangeKind
    part: Part
    target: str
    """The full id (container, image, network), the reference of a tag, or a file."""
    name: str
    """For people."""
    engine: str
    user: str | None
    reason: str
    """One line: the rule, the value, and where it is written."""
    evidence: tuple[str, ...] = ()
    identity: Mapping[str, str] = {}
    """Text by name, as an inspect tells it: state, started_at, finished_at, image_id, …"""
    grace_s: int = 0
    """stop-container: between SIGTERM and SIGKILL."""
    stage: int = 0
    """warn: 1 or 2."""
    text: str = ""
    """What the user is told: written right before, in the local time, of ``ending``."""
    frees_bytes: int | None = None
    skip: str | None = None
    """Why it is not done though it is due: report mode, a breaker, --limit."""
    overdue_s: float = 0.0
    """How long it has been due; of several the longest due goes first."""
    ending: Ending | None = None
    """warn, and stop-container for idleness or run time: what the user is to know of it."""


REPORT_MODE = "report mode"
"""So begins the ``skip`` of what is only told, because its part is in report mode."""


DONE_UNWRITTEN = "it was done, but"
"""So begins the error of what was done and could not be noted down."""


class Notice(NamedTuple):
    """Something that an admin should see, though nothing is done about it."""

    kind: str
    """idle-holding, idle-unknown, paused, protected-label, keep-problem, volume, departed-user…"""
    user: str | None
    container: str | None
    text: str
    evidence: tuple[str, ...] = ()


class Trip(NamedTuple):
    """A circuit breaker that keeps everything of some kind from being done in this run."""

    breaker: str
    """share, users, source, boot, upgrade, clock, state."""
    parts: tuple[Part, ...]
    text: str


class Plan(NamedTuple):
    """What a run decides."""

    changes: tuple[Change, ...] = ()
    notices: tuple[Notice, ...] = ()
    trips: tuple[Trip, ...] = ()
