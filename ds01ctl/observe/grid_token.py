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
