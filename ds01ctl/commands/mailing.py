"""Find the mail server of the policy, with its password, and who mail comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ds01ctl.errors import Ds01Error
from ds01ctl.unitfiles.units import HANDED_NOTHING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ds01ctl.act.mail import Server
    from ds01ctl.core.policy import Policy
    from ds01ctl.paths import Paths

CREDENTIAL = "mail-password"
_SECRET_MAX = 4096


def sender_of(policy: Policy, host: str) -> str:
    """Give the address that mail comes from."""
    return str(policy.value("mail.sender") or f"root@{host}")


def server_of(policy: Policy, paths: Paths, env: Mapping[str, str]) -> Server:
    """Give the mail server. Raises Ds01Error where its password cannot be had."""
    from ds01ctl.act.mail import Server

    value = policy.value
    user = value("mail.user")
    return Server(
        str(value("mail.host")),
        int(value("mail.port")),
        str(value("mail.security")),
        str(user) if user else None,
        _password(policy, paths, env) if user else None,
    )


def _password(policy: Policy, paths: Paths, env: Mapping[str, str]) -> str | None:
    """Read the password that systemd handed over, else the file that the policy names."""
    folder, file = env.get("CREDENTIALS_DIRECTORY"), policy.value("mail.password_file")
    handed = Path(folder) / CREDENTIAL if folder else None
    secret = _secret(handed) if handed and handed.exists() else None
    if secret not in {None, HANDED_NOTHING}:
        return secret
    if file:
        return _secret(paths.under(file))
    if secret is None:
        return None
    hint = "name it as mail.password_file, then run ds01ctl units install"
    raise Ds01Error("systemd found no file with the mail server's password", hint)


def _secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")[:_SECRET_MAX].rstrip("\r\n")
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "not text"
        hint = "mail.password_file must name a file that root may read"
        raise Ds01Error(f"{path}: {why}", hint) from None
