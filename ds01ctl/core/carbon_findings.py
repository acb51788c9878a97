"""The kinds of finding that `carbon` tells."""

from __future__ import annotations

BUDGET = "carbon-budget"
TOO_LONG = "carbon-period-too-long"
NO_TIMER = "carbon-no-timer"
NOT_MEASURED = "carbon-not-measured"
STALE = "carbon-stale"
TOKEN_EXPOSED = "carbon-token-exposed"  # noqa: S105 -- a kind of finding
KINDS = (BUDGET, TOO_LONG, NO_TIMER, NOT_MEASURED, STALE, TOKEN_EXPOSED)
