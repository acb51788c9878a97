"""What an engine's answer means, or that none came: the errors of those who ask it."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, Any

from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Callable

UNKNOWN = "whether it was done is not known; the next run looks again"
_SEE_LOG = "see the engine's log: journalctl -u docker -n 50"
_OF_SERVER = 500
"""From this status on an engine fails at what it was asked, and may have done it, or some of it."""
_HINTS = {
    errno.ENOENT: "is the engine running?",
    errno.ECONNREFUSED: "is the engine running?",
    errno.EACCES: "run as root, or as a member of the group that owns the socket",
    errno.EPERM: "run as root, or as a member of the group that owns the socket",
}


class GoneError(Ds01Error):
    """The engine has no such thing."""


class RefusedError(Ds01Error):
    """The engine says no: the thing is in use, or is being removed already."""


class UnansweredError(Ds01Error):
    """The engine was asked, and no answer came that says what it did: none, or that it failed."""


class UnknownError(Ds01Error):
    """It was to do something, and a second look does not show that it was done: it still may be."""


def called(address: str, call: Callable[[], Any]) -> Any:
    """Call the SDK. Raises GoneError, RefusedError, Ds01Error for whatever it raises."""
    import docker.errors
    import requests.exceptions
    import urllib3.exceptions

    try:
        return call()
    except docker.errors.APIError as error:
        failure = _answer(address, error)
    except requests.exceptions.Timeout:
        failure = UnansweredError(f"{address}: no answer in time", UNKNOWN)
    except (
        docker.errors.DockerException,
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        OSError,
    ) as error:
        failure = no_answer(address, error)
    except (LookupError, TypeError, ValueError, AttributeError):
        # the SDK takes the shape of an answer for granted
        failure = UnansweredError(f"{address}: no answer that can be used", UNKNOWN)
    # out here: the SDK's own error would keep its socket open for as long as ours is kept
    raise failure


def _answer(address: str, error: Any) -> Ds01Error:
    """Tell a 404 of the thing from one of the path: only the former means that it is gone."""
    status = error.status_code
    said = printable(str(error.explanation or "")) or f"status {status}"
    if (
        status == 404
        and re.search(r"no such|not found", said, re.IGNORECASE)
        and "page not" not in said
    ):
        return GoneError(f"{address}: {said}")
    is_taken = status == 403 and re.search(r"active endpoint|pre-defined", said)
    if status == 409 or is_taken:
        return RefusedError(said)
    kind = UnansweredError if status >= _OF_SERVER else Ds01Error
    return kind(f"{address}: {said}", _SEE_LOG)


def no_answer(address: str, error: BaseException) -> Ds01Error:
    """Tell an engine that could not be reached from one that was asked, and may have done it."""
    cause = _os_error(error)
    what = cause.strerror if cause is not None and cause.strerror else printable(str(error))
    number = cause.errno if cause is not None and cause.errno else 0
    if number in _HINTS:
        return Ds01Error(f"{address}: {what.lower()}", _HINTS[number])
    return UnansweredError(f"{address}: {what.lower()}", UNKNOWN)


def _os_error(error: BaseException) -> OSError | None:
    """Find the system's own error in those that urllib3 and requests wrap around it."""
    for inner in error.args:
        if isinstance(inner, BaseException) and (found := _os_error(inner)):
            return found
    return error if isinstance(error, OSError) and error.errno else None


def printable(text: str) -> str:
    """Shorten an engine's words, without what is no text."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text.strip()[:300])
