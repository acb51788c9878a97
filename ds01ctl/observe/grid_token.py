"""Read a provider's token: from systemd's credential, else from the file that the policy names."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.model import Gap

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ds01ctl.paths import Paths

CREDENTIAL = "carbon-token"
_LARGEST = 4096
_OTHERS = 0o077
_SOURCE = "grid"


class Token(NamedTuple):
    """The token; None without a gap: none is configured."""

    text: str | None = None
    gaps: tuple[Gap, ...] = ()


def read(
    file: str | None, paths: Paths, env: Mapping[str, str], handed_nothing: str = "none"
) -> Token:
    """Read the token; ``handed_nothing`` is what the unit sets where systemd found no file.

    It is one line of ASCII, since it goes into a header.
    """
    folder = env.get("CREDENTIALS_DIRECTORY")
    if folder:
        # systemd's own path, not under the root that tests move
        from pathlib import Path

        handed = Path(folder) / CREDENTIAL
        if handed.exists():
            token = _token(handed)
            if token.text != handed_nothing:
                return token
    return _token(paths.under(file)) if file else Token()


def exposed(file: str | None, paths: Paths) -> str:
    """Say that others than root may read the file with the token; empty: nobody else may."""
    from stat import S_IMODE

    path = paths.under(file) if file else None
    try:
        mode = S_IMODE(path.stat().st_mode) if path else 0
    except OSError:
        # that it cannot be read is told by who reads it
        mode = 0
    if not mode & _OTHERS:
        return ""
    told = f"others than root may read the token (mode {mode:04o})"
    return f"{path}: {told}: chmod 600 {path}, and ask the provider for another one"


def _token(path: Path) -> Token:
    try:
        text = _start_of(path).decode("ascii").strip()
    except UnicodeError:
        return _gap(path, "failed", "is no text of ASCII")
    except OSError as error:
        kind = "denied" if isinstance(error, PermissionError) else "failed"
        return _gap(path, kind, str(error.strerror))
    if not text or not text.isprintable():
        return _gap(path, "failed", "is not one line with a token")
    return Token(text)


def _start_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LARGEST)


def _gap(path: Path, kind: str, why: str) -> Token:
    hint = "carbon.token_file must name a file with the token, readable by root"
    gap = Gap(_SOURCE, kind, f"{path}: {why}; {hint}")  # type: ignore[arg-type]  # of two words
    return Token(None, (gap,))
