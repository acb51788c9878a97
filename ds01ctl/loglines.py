"""The lines of a log and of its rotated siblings: backwards in blocks, or followed as it grows."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

BLOCK = 1 << 18
LINE_MAX = 1 << 20
"""Bytes; of a longer line only the beginning is given, so that it cannot fill the memory."""
# .backup: what logrotate found where it was about to create the new log
_ROTATED = re.compile(r"(?:[.-][0-9][0-9.-]*(?:\.backup)?|\.backup)(?:\.gz)?")


class Line(NamedTuple):
    """Raw bytes and where they begin."""

    file: Path
    offset: int
    """Bytes; not known of a compressed file."""
    text: bytes
    number: int | None = None
    """In its file, counted from 1; None: not counted."""

    def place(self) -> str:
        """Name file:line; reads the file up to there, so only for a message."""
        if self.number is not None:
            return f"{self.file}:{self.number}"
        left, number = self.offset, 1
        with self.file.open("rb") as file:
            while left > 0 and (block := file.read(min(BLOCK, left))):
                left -= len(block)
                number += block.count(b"\n")
        return f"{self.file}:{number}"


class Position(NamedTuple):
    """A place in a log that rotation does not move."""

    inode: int
    offset: int


def newest_first(log: Path, not_before: float | None = None) -> Iterator[Line]:
    """Yield the lines that are not blank, the newest first; none where there is no log.

    Files last written before ``not_before`` (seconds since the epoch) are left out.
    """
    for file in _files(log):
        try:
            if not_before is None or file.stat().st_mtime >= not_before:
                yield from _zipped(file) if file.suffix == ".gz" else _backwards(file)
        except FileNotFoundError:
            # rotated away meanwhile
            continue


def has_files(log: Path) -> bool:
    """Tell whether there is a log, or what logrotate made of one."""
    return bool(_files(log))


def end_of(log: Path) -> Position:
    """Find the end of the last whole line."""
    try:
        with log.open("rb") as file:
            status = os.fstat(file.fileno())
            start = max(0, status.st_size - LINE_MAX)
            file.seek(start)
            return Position(status.st_ino, start + file.read().rfind(b"\n") + 1)
    except FileNotFoundError:
        return Position(0, 0)


class Tail:
    """The end of a log that grows, is rotated, or is truncated in place."""

    def __init__(self, log: Path, position: Position) -> None:
        self._log = log
        self._position = position
        self._file: BinaryIO | None = None
        self._rest = b""

    def __enter__(self) -> Tail:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def read(self) -> list[bytes]:
        """Read the whole lines that have come since; OSError when the log may not be read."""
        if self._file is None:
            self._file = self._open()
        if self._file is None:
            return []
        was_replaced = self._was_replaced(self._file)
        # after the question, so that nothing written just before the rotation is missed
        *lines, rest = (self._rest + self._file.read()).split(b"\n")
        self._rest = rest[: LINE_MAX + 1]
        if was_replaced:
            self._file.close()
            self._file, self._rest = None, b""
            return [*lines, *self.read()]
        return lines

    def _open(self) -> BinaryIO | None:
        try:
            file = self._log.open("rb")
        except FileNotFoundError:
            return None
        status = os.fstat(file.fileno())
        if status.st_ino == self._position.inode and status.st_size >= self._position.offset:
            file.seek(self._position.offset)
        # whatever takes its place is read from its beginning
        self._position = Position(0, 0)
        return file

    def _was_replaced(self, file: BinaryIO) -> bool:
        try:
            status = self._log.stat()
        except FileNotFoundError:
            return False
        return status.st_ino != os.fstat(file.fileno()).st_ino or status.st_size < file.tell()


def _files(log: Path) -> list[Path]:
    """List the log and what logrotate made of it, the newest first."""
    try:
        names = {path.name for path in log.parent.iterdir()}
    except FileNotFoundError:
        return []
    times = {}
    for name in names:
        if name.startswith(log.name) and _ROTATED.fullmatch(name[len(log.name) :]):
            path = log.with_name(name)
            try:
                times[path] = path.stat().st_mtime
            except FileNotFoundError:
                continue
    rotated = sorted(times, key=lambda path: times[path], reverse=True)
    return [log, *rotated] if log.name in names else rotated


def _zipped(path: Path) -> Iterator[Line]:
    """Unpack from the beginning, for there is no other way."""
    import gzip
    import zlib

    lines: list[Line] = []
    try:
        with gzip.open(path) as file:
            while text := file.readline(LINE_MAX):
                lines.append(Line(path, 0, text.rstrip(b"\n"), len(lines) + 1))
    except (EOFError, zlib.error, gzip.BadGzipFile):
        # what could be unpacked counts; the rest is one line that makes no sense
        lines.append(Line(path, 0, b"damaged", len(lines) + 1))
    yield from (line for line in reversed(lines) if line.text.strip())


def _backwards(path: Path) -> Iterator[Line]:
    with path.open("rb") as file:
        start = file.seek(0, os.SEEK_END)
        tail = b""
        while start > 0:
            end, start = start, max(0, start - BLOCK)
            file.seek(start)
            block = file.read(end - start) + tail[: LINE_MAX + 1]
            tail, *lines = block.split(b"\n")
            offset = start + len(block)
            for text in reversed(lines):
                offset -= len(text)
                if text.strip():
                    yield Line(path, offset, text)
                offset -= 1
        if tail.strip():
            yield Line(path, 0, tail)
