"""lifecycle-exemptions.yaml: who is exempt from what, until when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ds01ctl.config.nearest import did_you_mean
from ds01ctl.config.nodes import Entry, compose, entries, is_null, line_of
from ds01ctl.config.values import login
from ds01ctl.core.keys import EXEMPTIBLE, EXEMPTION_CATEGORIES
from ds01ctl.core.policy import Exemption
from ds01ctl.core.quantity import parse_moment

if TYPE_CHECKING:
    from datetime import tzinfo

    from ds01ctl.config.nodes import Node
    from ds01ctl.config.side import Folder
    from ds01ctl.config.source import Source

FILE = "lifecycle-exemptions.yaml"
FIELDS = (
    "username",
    "category",
    "exempt_from",
    "reason",
    "approved_by",
    "approved_on",
    "expires_on",
)
_OLD_NAMES = {"idle_timeout": "idle_timeout_h", "max_runtime": "max_runtime_h"}
_A_DATE = "expected a date, a date and time, or null for ever"


def read_exemptions(folder: Folder, tz: tzinfo | None) -> tuple[Exemption, ...]:
    """Read every row, expired ones too; what is wrong in one is noted as a problem."""
    source = folder.source(FILE)
    node = compose(folder.text(source) or "", source)
    rows: list[Node] = []
    for entry in entries(node, source, "") if node else []:
        if entry.name != "exemptions":
            known = did_you_mean(entry.name, ["exemptions"])
            source.error(entry.line, entry.name, f"unknown key{known}")
        elif entry.node.id == "sequence":
            rows = entry.node.value
        elif not is_null(entry.node):
            source.error(entry.line, entry.name, "expected a list")
    read = [_Row(row, number, source, tz).read() for number, row in enumerate(rows)]
    found = tuple(row for row in read if row)
    _warn_of_repeats(found, source)
    return found


def _warn_of_repeats(rows: tuple[Exemption, ...], source: Source) -> None:
    """Warn of rows that say what an earlier one has said."""
    first: dict[object, Exemption] = {}
    for row in rows:
        said = (row.username, frozenset(row.exempt_from), row.expires_at)
        other = first.setdefault(said, row)
        if other is not row:
            message = f"{row.username}: says the same as line {other.origin.line}"
            source.warn(row.origin.line, "exemptions", message)


class _Row:
    """One row of the list."""

    def __init__(self, node: Node, number: int, source: Source, tz: tzinfo | None) -> None:
        self._source = source
        self._key = f"exemptions[{number}]"
        self._line = line_of(node)
        self._tz = tz
        self._cells = {entry.name: entry for entry in entries(node, source, self._key)}

    def read(self) -> Exemption | None:
        """Read the row; None where it cannot be used."""
        for entry in self._cells.values():
            if entry.name not in FIELDS:
                self._error(entry, f"unknown key{did_you_mean(entry.name, FIELDS)}")
        username = self._username()
        exempt_from = self._exempt_from()
        expires_at = self._moment("expires_on")
        self._moment("approved_on")
        if username is None or not exempt_from:
            return None
        return Exemption(
            username,
            self._category(),
            exempt_from,
            self._text("reason"),
            self._text("approved_by"),
            expires_at,
            self._source.origin(self._line, "exemption"),
        )

    def _error(self, entry: Entry, message: str) -> None:
        self._source.error(entry.line, f"{self._key}.{entry.name}", message)

    def _username(self) -> str | None:
        entry = self._cells.get("username")
        if entry is None:
            self._source.error(self._line, self._key, "has no username")
            return None
        try:
            return login(None, entry.node)
        except ValueError as error:
            self._error(entry, str(error) or "is not a login")
            return None

    def _exempt_from(self) -> tuple[str, ...]:
        entry = self._cells.get("exempt_from")
        if entry is None or entry.node.id != "sequence" or not entry.node.value:
            message = f"expected a list of any of {', '.join(EXEMPTIBLE)}"
            line = entry.line if entry else self._line
            self._source.error(line, f"{self._key}.exempt_from", message)
            return ()
        names = [_OLD_NAMES.get(str(item.value), str(item.value)) for item in entry.node.value]
        for name in names:
            if name not in EXEMPTIBLE:
                self._error(entry, f"{name!r} is not known{did_you_mean(name, EXEMPTIBLE)}")
        return tuple(names)

    def _moment(self, name: str) -> Any:
        entry = self._cells.get(name)
        if entry is None:
            if name == "expires_on":
                message = "has no expires_on, so it is for ever; write null to say so"
                self._source.warn(self._line, self._key, message)
            return None
        if is_null(entry.node):
            return None
        try:
            return parse_moment(_text_of(entry.node), self._tz)
        except ValueError:
            self._error(entry, f"{_text_of(entry.node)!r}; {_A_DATE}")
            return None

    def _category(self) -> str | None:
        category = self._text("category")
        if category not in (None, *EXEMPTION_CATEGORIES):
            entry = self._cells["category"]
            known = " or ".join(EXEMPTION_CATEGORIES)
            message = f"{category!r} is not known; expected {known}"
            self._source.warn(entry.line, f"{self._key}.category", message)
        return category

    def _text(self, name: str) -> str | None:
        entry = self._cells.get(name)
        if entry is None or is_null(entry.node):
            return None
        if entry.node.id != "scalar":
            self._error(entry, "expected text")
            return None
        return str(entry.node.value)


def _text_of(node: Node) -> str:
    return str(node.value) if node.id == "scalar" else node.id
