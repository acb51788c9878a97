"""Make a mail and hand it to the mail server."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    import smtplib
    import ssl
    from collections.abc import Sequence
    from datetime import datetime
    from email.message import EmailMessage

TIMEOUT_S = 15.0
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class Server(NamedTuple):
    """The mail server of the policy."""

    host: str = "localhost"
    port: int = 25
    security: str = "none"
    """``none``, ``starttls``, ``tls``."""
    user: str | None = None
    password: str | None = None


class Letter(NamedTuple):
    """What is to be sent."""

    to: tuple[str, ...]
    sender: str
    subject: str
    body: str
    host: str
    """Whence, for the message's id and the greeting."""
    at: datetime


def message(letter: Letter) -> EmailMessage:
    """Build the message (RFC 5322); addresses and subject must have no line end in them."""
    from email.message import EmailMessage
    from email.utils import format_datetime, make_msgid

    made = EmailMessage()
    made["Subject"] = letter.subject
    made["From"] = letter.sender
    made["To"] = ", ".join(letter.to)
    made["Date"] = format_datetime(letter.at)
    made["Message-ID"] = make_msgid(domain=letter.host)
    # no out-of-office reply is wanted (RFC 3834)
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(letter.body)
    return made


def send(letter: Letter, server: Server) -> None:
    """Send a letter. Raises Ds01Error with what the server said, or why it was not asked."""
    where = f"mail server {server.host}:{server.port}"
    if server.user and server.security == "none" and server.host not in _LOOPBACK:
        hint = "set mail.security to starttls or tls"
        raise Ds01Error(f"{where}: the password would cross the network in the clear", hint)
    try:
        refused = _send(letter, server)
    # smtplib's own errors are OSErrors; a name that no header takes is a ValueError
    except (OSError, ValueError) as error:
        raise Ds01Error(f"{where}: {_why(error)}", "see `mail:` in the policy") from None
    if refused:
        raise Ds01Error(f"{where}: refused {', '.join(refused)}", "see mail.to in the policy")


def _send(letter: Letter, server: Server) -> Sequence[str]:
    with _connected(letter, server) as connection:
        if server.security == "starttls":
            connection.starttls(context=_context())
        if server.user:
            connection.login(server.user, server.password or "")
        return sorted(connection.send_message(message(letter), letter.sender, list(letter.to)))


def _connected(letter: Letter, server: Server) -> smtplib.SMTP:
    import smtplib

    # without a name of ours smtplib would ask the name service for one
    if server.security == "tls":
        return smtplib.SMTP_SSL(
            server.host, server.port, letter.host, timeout=TIMEOUT_S, context=_context()
        )
    return smtplib.SMTP(server.host, server.port, letter.host, timeout=TIMEOUT_S)


def _context() -> ssl.SSLContext:
    import ssl

    return ssl.create_default_context()


def _why(error: OSError | ValueError) -> str:
    import smtplib

    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "refused " + ", ".join(sorted(error.recipients))
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        return f"{error.smtp_code} {text}"
    return str(getattr(error, "strerror", None) or error)
