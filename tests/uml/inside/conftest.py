"""Fixtures in the guest. Nothing may be skipped here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import jsonschema
import pytest

from tools.json_reference import schema

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = Path(sys.executable).with_name("ds01ctl")
VALIDATOR = jsonschema.Draft202012Validator(schema())


def pytest_configure() -> None:
    """Refuse to run on a real machine: tests here mount, write to /etc and fill disks."""
    if not os.environ.get("DS01_UML"):
        raise pytest.UsageError("runs in the guest only: python -m pytest tests/uml -k NAME")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """Make a failure of what is skipped."""
    report = yield
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped in the guest: {report.longrepr}"
    return report


class Done(NamedTuple):
    """How a program ended."""

    status: int
    stdout: str
    stderr: str


def call(*argv: str, stdin: str = "") -> Done:
    """Run a program to its end, whatever its status."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def ds01ctl() -> Callable[..., Done]:
    """Run ``ds01ctl`` as an admin would: ``ds01ctl("quota", "report", "--json")``.

    A traceback fails the test, and so does a document that is not as the contract has it.
    """

    def run(*argv: str, stdin: str = "") -> Done:
        done = call(str(PROGRAM), *argv, stdin=stdin)
        assert "Traceback" not in done.stderr, done.stderr
        if "--json" in argv and done.stdout:
            VALIDATOR.validate(json.loads(done.stdout))
        return done

    return run


def as_user(uid: int, do: Callable[[], object]) -> int:
    """Run a function as this user, without any capability; 0, or the errno it ended with.

    In this process, as a fork is slow in the guest; only what root kept back leads out again.
    """
    groups = os.getgroups()
    os.setgroups([])
    os.setresgid(uid, uid, 0)
    os.setresuid(uid, uid, 0)
    try:
        do()
    except OSError as error:
        return error.errno or 255
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)
    return 0
