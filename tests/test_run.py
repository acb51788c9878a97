"""A program that gives no answer is told of in words, with what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ds01ctl.errors import Ds01Error
from ds01ctl.run import run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("body", "mode", "said"),
    [
        (None, 0, "not found"),
        ("#!/bin/sh\n", 0o644, "cannot be started: Permission denied"),
        ("no program\0", 0o755, "cannot be started: Exec format error"),
        ("#!/bin/sh\nexec sleep 30\n", 0o755, "no answer in 0.2 s"),
    ],
)
def test_a_program_that_does_not_run(
    tmp_path: Path, body: str | None, mode: int, said: str
) -> None:
    path = tmp_path / "tool"
    if body is not None:
        path.write_text(body)
        path.chmod(mode)
    with pytest.raises(Ds01Error) as caught:
        run([str(path)], timeout_s=0.2)
    assert caught.value.message == f"{path}: {said}"
    assert caught.value.hint
