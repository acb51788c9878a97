"""What no message may have in it: tokens, which a provider may repeat as it was sent them.

Texts are cut, escaped and put on one line on their way into a message; so secrets are taken out
before the first of it, in the child that asks, and once more at the end.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from functools import lru_cache

MASK = "TOKEN"
_SHORTEST = 4
"""Letters of a secret; what is shorter is none, and is in every other word."""
_hidden: dict[str, None] = {}


def hide(*secrets: str) -> None:
    """Take these, and what is sent in their place, out of all that `masked` is given from now on.

    It holds for this process: a child that asks one provider, once.
    """
    for secret in secrets:
        _hidden.update(dict.fromkeys(spellings(secret)))


def masked(text: str) -> str:
    """Take out what is to be hidden."""
    return without(text, tuple(_hidden))


def without(text: str, known: tuple[str, ...]) -> str:
    """Take these spellings out of a text."""
    return _pattern(known).sub(MASK, text) if known else text


def spellings(secret: str) -> tuple[str, ...]:
    """List how a secret may come back: as it is, coded, escaped, or on one line."""
    from urllib.parse import quote, quote_plus

    parts = [one for one in (secret, secret.partition(":")[2]) if len(one) >= _SHORTEST]
    coded = [b64encode(secret.encode()).decode("ascii")] if parts else []
    found = [
        spelling
        for one in (*parts, *coded)
        for spelling in (one, quote_plus(one), quote(one), quote(one, safe=""), words(one))
        if len(spelling) >= _SHORTEST
    ]
    escaped = [json.dumps(one)[1:-1] for one in found]
    return tuple(dict.fromkeys((*found, *escaped, *(json.dumps(one)[1:-1] for one in escaped))))


def words(text: str) -> str:
    """Put a text on one line of ASCII, without its tags."""
    return " ".join(re.sub(r"<[^>]*>|[^\x20-\x7e]", " ", text).split())


@lru_cache(maxsize=4)
def _pattern(known: tuple[str, ...]) -> re.Pattern[str]:
    # the longest first: one may be the beginning of another
    return re.compile("|".join(map(re.escape, sorted(known, key=len, reverse=True))))
