"""Name the admin who runs a command: for audit events, and for what he approves."""

from __future__ import annotations


def admin() -> str:
    """Name the admin behind sudo."""
    import os
    import pwd

    said = os.environ.get("SUDO_UID", "")
    uid = int(said) if said.isascii() and said.isdecimal() else os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)
