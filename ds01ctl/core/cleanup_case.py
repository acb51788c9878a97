"""One container of a run of `cleanup`, with all that is decided upon."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.cleanup_demand import Demand, reduction
from ds01ctl.core.cleanup_limits import account
from ds01ctl.core.cleanup_model import Change, Notice
from ds01ctl.core.timestamp import format_time

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ds01ctl.core.cleanup_model import ChangeKind, Clock, Mode, Part, Watch
    from ds01ctl.core.model import Container
    from ds01ctl.core.policy import Policy
    from ds01ctl.core.workload import Workload


class Decided(NamedTuple):
    """What one rule says of one container."""

    changes: tuple[Change, ...] = ()
    notices: tuple[Notice, ...] = ()

    def __add__(self, other: object) -> Decided:
        """Join what two rules say."""
        if not isinstance(other, Decided):
            return NotImplemented
        return Decided(self.changes + other.changes, self.notices + other.notices)


class Case(NamedTuple):
    """One container that nothing spares."""

    container: Container
    workload: Workload
    watch: Watch
    """With the present look in it."""
    policy: Policy
    clock: Clock
    demand: Demand | None = None
    """Of GPUs; None: not known."""
    warned_since: datetime | None = None
    """Warnings from before count for nothing: it was kept or exempt since."""
    skip: str | None = None
    """Why nothing is done about it whatever is due: nobody can tell whose it is."""

    @property
    def account(self) -> str:
        """Give the login whose limits hold."""
        return account(self.workload)

    @property
    def is_demand_high(self) -> bool:
        """Tell whether the idle timeout is shorter now, as others wait for GPUs."""
        return reduction(self.policy, self.account, self.demand) is not None

    @property
    def is_same_run(self) -> bool:
        """Tell whether what is remembered is of the run, or stop, that was seen now."""
        seen, watch = self.container, self.watch
        return (watch.state, watch.started_at, watch.finished_at) == (
            seen.state,
            seen.started_at,
            seen.finished_at,
        )

    @property
    def removes_itself(self) -> bool:
        """Tell whether a stop is the end of it: whoever made it asked for that (``--rm``)."""
        config = self.container.config
        return config is not None and config.auto_remove

    @property
    def is_left_running(self) -> bool:
        """Tell whether it is only told of, because nobody could have it back after a stop."""
        return self.removes_itself and self.policy.value("cleanup.auto_remove") != "stop"

    def why_not(self, part: Part) -> str | None:
        """Say why what is due is only told: report mode, or an owner nobody can tell."""
        return self.skip or report_only(self.policy, part)

    def held_s(self, part: Part) -> float:
        """Give the counted hold of one that does not run; in report mode as if it had counted."""
        return self.watch.not_running_s if self.why_not(part) else self.watch.held_s

    def change(self, kind: ChangeKind, part: Part, reason: str, evidence: Sequence[str]) -> Change:
        """Make a change of this container, with the identity that must still hold."""
        return Change(
            kind,
            part,
            self.container.id,
            self.container.name,
            self.container.engine,
            self.workload.owner.login,
            reason,
            tuple(evidence),
            self._identity(),
            skip=self.why_not(part),
        )

    def left_running(self, reason: str) -> Notice:
        """Tell of one that is due and is not stopped, for it was made with ``--rm``."""
        setting = self.policy.setting("cleanup.auto_remove")
        text = f"{self.container.name} {reason}; it is not stopped, as it was made with --rm"
        return self.notice(
            "auto-remove",
            text,
            (f"{setting.key} is {setting.value} ({setting.origin or 'built-in'})",),
        )

    def notice(self, kind: str, text: str, evidence: Sequence[str] = ()) -> Notice:
        """Make a notice about this container."""
        return Notice(kind, self.workload.owner.login, self.container.id, text, tuple(evidence))

    def _identity(self) -> dict[str, str]:
        times = {
            "started_at": self.container.started_at,
            "finished_at": self.container.finished_at,
        }
        identity = {name: format_time(time) for name, time in times.items() if time is not None}
        return {"state": self.container.state, **identity}


def mode_of(policy: Policy, part: Part) -> Mode:
    """Tell whether a part of `cleanup` changes anything, or only says what it would."""
    rule = policy.host.get(f"cleanup.rules.{part.replace('-', '_')}")
    value = rule.value if rule is not None else None
    return "enforce" if (value or policy.value("cleanup.mode")) == "enforce" else "report"


def report_only(policy: Policy, part: Part) -> str | None:
    """Say where it is written that a part is in report mode; None: it is not."""
    if mode_of(policy, part) == "enforce":
        return None
    key = f"cleanup.rules.{part.replace('-', '_')}"
    rule = policy.host.get(key)
    setting = rule if rule is not None and rule.value else policy.setting("cleanup.mode")
    return f"report mode: {setting.key} is {setting.value} ({setting.origin})"
