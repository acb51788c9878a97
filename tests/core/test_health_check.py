"""Which processes are a container's HEALTHCHECK, and which are somebody's."""

from __future__ import annotations

import pytest

from ds01ctl.core.health_check import is_run_by

SH = ("/bin/sh", "-c")
CURL = "curl -f http://localhost:8080/health"
JUPYTER = "/etc/jupyter/docker_healthcheck.py || exit 1"


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["/bin/sh", "-c", JUPYTER], (*SH, JUPYTER)),
        (["/bin/sh", "-c", CURL], (*SH, CURL)),
        # dash and bash replace themselves by the only command
        (CURL.split(), (*SH, CURL)),
        (["pg_isready", "-U", "a b"], (*SH, "exec pg_isready -U 'a b'")),
        (["pg_isready", "-U", "a"], ("/bin/bash", "-o", "pipefail", "-c", "pg_isready -U a")),
        # the kernel reads the first line of a script
        (["python3", "/check.py"], ("/check.py",)),
        (["/usr/bin/env", "python3", "/check.py"], ("/check.py",)),
        (["/bin/sh", "/check.sh", "now"], (*SH, "/check.sh now")),
        (CURL.split(), tuple(CURL.split())),
        # before it begins, and after it has ended
        (["runc", "init"], ("true",)),
        (["/usr/bin/runc", "init"], ("true",)),
        ([], ("true",)),
    ],
)
def test_is_one(argv: list[str], command: tuple[str, ...]) -> None:
    assert is_run_by([word.encode() for word in argv], command)


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["bash"], (*SH, CURL)),
        (["/bin/sh"], (*SH, CURL)),
        (["/bin/sh", "-c", "python train.py"], (*SH, CURL)),
        (["curl", "-f", "http://localhost:8080/other"], (*SH, CURL)),
        ([*CURL.split(), "more"], (*SH, CURL)),
        (["a", "b", "c", "/check.py"], ("/check.py",)),
        (["git", "init"], ("true",)),
        # what only ends alike is somebody's
        (["psql", "-U", "postgres"], ("pg_isready", "-U", "postgres")),
        (["ssh", "localhost"], ("nc", "-z", "localhost")),
        (["curl", "-s", "http://localhost:8888"], ("curl", "-f", "http://localhost:8888")),
        (["watch", "-n1", "nvidia-smi"], (*SH, "nvidia-smi")),
        (["bash", "-c", "nvidia-smi"], (*SH, "nvidia-smi")),
        (["rm", "/check.py"], ("python", "-u", "/check.py")),
        (["python", "train.py"], ()),
        (["exit", "1"], (*SH, "false || exit 1")),
        (["sleep", "1"], (*SH, "unclosed '")),
        (["-c", "x"], (*SH,)),
        ([""], (*SH, "")),
        ([""], ("\udc80\ud800",)),
    ],
)
def test_is_none(argv: list[str], command: tuple[str, ...]) -> None:
    assert not is_run_by([word.encode() for word in argv], command)
