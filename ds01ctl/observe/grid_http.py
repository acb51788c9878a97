"""Ask a provider over https; it runs in a child process, which one deadline ends.

TLS is verified against the machine's certificates. Nobody is followed to another host, and no
answer is read beyond a bound.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.core.grid_providers import is_loopback, url_problem
from ds01ctl.observe.grid_answer import LONGEST_SAID, GridError, said
from ds01ctl.observe.grid_secrets import masked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from http.client import HTTPMessage
    from urllib.request import OpenerDirector

LARGEST = 2 << 20
"""Bytes of an answer; a day of ENTSO-E, every quarter of an hour, is below 400 kB."""
_NOT_LET_IN = {401, 403}
_TOO_MANY = 429


class Question(NamedTuple):
    """What a provider is to be asked."""

    base_url: str
    zone: str
    """As the provider names it."""
    token: str
    """Empty: there is none."""
    now: datetime


class Http(NamedTuple):
    """How a provider is asked."""

    timeout_s: float

    def get(self, url: str, query: Mapping[str, str] | None = None, **headers: str) -> bytes:
        """GET an address; a header ``auth_token`` is sent as ``auth-token``. Raises GridError."""
        from http.client import HTTPException
        from urllib.error import HTTPError, URLError
        from urllib.parse import urlencode

        if problem := url_problem(url):
            raise GridError(f"its address {problem}")
        asked = f"{url}?{urlencode(query)}" if query else url
        try:
            return _get(asked, headers, self.timeout_s)
        except HTTPError as error:
            with error:
                raise _refusal(error) from None
        except URLError as error:
            raise GridError(_why(error.reason)) from None
        # a ValueError is an address or a header that cannot be sent
        except (OSError, HTTPException, ValueError) as error:
            raise GridError(_why(error)) from None


def _get(url: str, headers: Mapping[str, str], timeout_s: float) -> bytes:
    from urllib.request import Request

    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    request = Request(url, headers={"User-Agent": "ds01ctl", **sent})  # noqa: S310 -- url_problem
    with _opener(url).open(request, timeout=timeout_s) as answer:
        body: bytes = answer.read(LARGEST + 1)
    if len(body) > LARGEST:
        raise GridError(f"its answer is longer than {LARGEST >> 20} MiB")
    return body


def _opener(url: str) -> OpenerDirector:
    import ssl
    from urllib.error import URLError
    from urllib.parse import urlsplit
    from urllib.request import (
        HTTPRedirectHandler,
        HTTPSHandler,
        ProxyHandler,
        Request,
        build_opener,
    )

    origin = urlsplit(url)[:2]

    class SameHost(HTTPRedirectHandler):
        """Follow nobody to another host, where the token would go along."""

        def redirect_request(
            self, req: Request, fp: Any, code: int, msg: str, headers: HTTPMessage, newurl: str
        ) -> Request | None:
            if urlsplit(newurl)[:2] != origin:
                raise URLError(f"it redirects to another host: {masked(newurl)[:80]!a}")
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    handlers: list[Any] = [SameHost(), HTTPSHandler(context=ssl.create_default_context())]
    if is_loopback(urlsplit(url).hostname or ""):
        handlers.append(ProxyHandler({}))
    return build_opener(*handlers)


def _refusal(error: Any) -> GridError:
    """Say what an answer with an error's status means."""
    status = int(error.code)
    body = b""
    with suppress(OSError, ValueError):
        body = error.read(LONGEST_SAID)
    words = f": {said(body)}" if body.strip() else ""
    if status in _NOT_LET_IN:
        return GridError(f"refuses the token (status {status}){words}", "denied")
    wait = _seconds(error.headers.get("Retry-After"))
    if status == _TOO_MANY:
        return GridError(f"was asked too often (status {status}){words}", retry_after_s=wait)
    return GridError(f"answers with status {status}{words}", retry_after_s=wait)


def _seconds(text: str | None) -> float | None:
    """Read Retry-After where it is in seconds; a date of theirs is not waited for."""
    return float(text) if text and text.isascii() and text.isdigit() and len(text) < 8 else None


def _why(error: object) -> str:
    from http.client import HTTPException
    from ssl import SSLCertVerificationError

    if isinstance(error, SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, HTTPException):
        return f"its answer is no HTTP: {type(error).__name__}"
    return masked(str(getattr(error, "strerror", None) or error))[:200]
