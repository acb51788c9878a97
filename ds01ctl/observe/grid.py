"""Ask a provider for the carbon intensity of the grid now: one figure, or why there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.core.grid_providers import PROVIDERS
from ds01ctl.core.model import Gap
from ds01ctl.observe.child import Child
from ds01ctl.observe.grid_answer import GridError
from ds01ctl.observe.grid_secrets import hide, spellings, without

if TYPE_CHECKING:
    from datetime import datetime

    from ds01ctl.core.intensity import Figure
    from ds01ctl.observe.child import Answer, Reporter

SOURCE = "grid"
DEADLINE_S = 20.0
"""For everything together: names, connections, logging in, answers, reading them."""


class Asked(NamedTuple):
    """Whom to ask, and for what."""

    provider: str
    """A name of grid_providers.PROVIDERS."""
    zone: str
    """As the provider names it."""
    token: str | None = None
    base_url: str | None = None
    """None: the provider's own."""


class GridReading(NamedTuple):
    """What a provider said."""

    figure: Figure | None = None
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()
    """What is to be said of the figure."""
    retry_after_s: float | None = None
    """The provider asks not to be asked again before."""


def read(asked: Asked, now: datetime, deadline_s: float = DEADLINE_S) -> GridReading:
    """Ask a provider. Nothing that it does takes longer than the deadline, or raises."""
    with Child(lambda reporter: _ask(reporter, asked, now, deadline_s)) as child:
        return _reading(child.collect(deadline_s), asked)


def _ask(reporter: Reporter, asked: Asked, now: datetime, deadline_s: float) -> None:
    """Ask, and read the answer, in the child: neither can hold up or fill the parent."""
    from ds01ctl.observe import grid_electricity_maps, grid_entsoe, grid_neso, grid_watttime
    from ds01ctl.observe.grid_http import Http, Question

    hide(asked.token or "")
    modules: tuple[Any, ...] = (
        grid_electricity_maps,
        grid_entsoe,
        grid_neso,
        grid_watttime,
    )
    module = next(one for one in modules if asked.provider == one.NAME)
    url = (asked.base_url or PROVIDERS[asked.provider].base_url).rstrip("/")
    try:
        body = module.ask(Http(deadline_s), Question(url, asked.zone, asked.token or "", now))
        figure, notes = module.parse(body, asked.zone, now)
        reporter.tell(GridReading(figure, (), notes))
    except GridError as error:
        gap = Gap(SOURCE, error.kind, error.reason)
        reporter.tell(GridReading(None, (gap,), (), error.retry_after_s))


def _reading(answer: Answer, asked: Asked) -> GridReading:
    title = PROVIDERS[asked.provider].title
    if not answer.values:
        why = answer.problem or "no answer"
        return GridReading(gaps=(Gap(SOURCE, "failed", _without(f"{title}: {why}", asked)),))
    reading: GridReading = answer.values[0]
    gaps = tuple(
        gap._replace(reason=_without(f"{title}: {gap.reason}", asked)) for gap in reading.gaps
    )
    return reading._replace(gaps=gaps)


def _without(text: str, asked: Asked) -> str:
    """Take the token out of a message once more, as of what the child did not say itself."""
    return without(text, spellings(asked.token)) if asked.token else text
