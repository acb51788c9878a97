"""Text for unit files that systemd reads back as exactly the same text (systemd.syntax(7))."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[A-Za-z0-9_./:=,@+-]+")


def word(text: str) -> str:
    """Write one word of a command line; nothing in it is a variable or a specifier."""
    return text if _PLAIN.fullmatch(text) else _quoted(text).replace("$", "$$")


def assignment(name: str, value: str) -> str:
    """Write one variable for Environment=, which knows specifiers but no variables."""
    pair = f"{name}={value}"
    return pair if _PLAIN.fullmatch(pair) else _quoted(pair)


def input_line(text: str) -> str | None:
    """Write a line for StandardInputText=; None where only StandardInputData= keeps it."""
    if not text or text != text.strip() or not text.isprintable():
        return None
    return text.replace("\\", "\\\\").replace("%", "%%")


def told(text: str, limit: int = 72) -> str:
    """Write text for people, as in Description=: on one line, without specifiers."""
    shown = "".join(sign if sign.isprintable() else " " for sign in text).strip()
    cut = shown if len(shown) <= limit else shown[: limit - 1] + "…"
    # a backslash at its end would join the next line to it
    return cut.rstrip("\\ ").replace("%", "%%")


def _quoted(text: str) -> str:
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return '"' + "".join(sign if _is_kept(sign) else _escape(sign) for sign in text) + '"'


def _is_kept(sign: str) -> bool:
    return sign.isprintable() or ord(sign) > 0x9F


def _escape(sign: str) -> str:
    """Write a control character by its bytes."""
    return "".join(f"\\x{byte:02x}" for byte in sign.encode())
