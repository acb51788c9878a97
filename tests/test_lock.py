"""Two instances of a job, and what dead ones leave."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys

import pytest

from ds01ctl.errors import Ds01Error, ExitCode, LockedError
from ds01ctl.lock import job_lock
from ds01ctl.paths import Paths

HOLD = """
import os, sys, time
from pathlib import Path
from ds01ctl.lock import job_lock
from ds01ctl.paths import Paths

with job_lock(Paths(Path(sys.argv[1])), "detect"):
    if len(sys.argv) > 2 and os.fork() == 0:
        os.setsid()
    os.write(1, b"%d\\n" % os.getpid())
    time.sleep(60)
"""


@pytest.fixture
def paths(tmp_path):
    return Paths(tmp_path)


@pytest.fixture
def holder(tmp_path):
    argv = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        yield process
        process.kill()


@pytest.fixture
def strict_umask():
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("strict_umask")
def test_it_is_made_and_stays(paths):
    with job_lock(paths, "detect"):
        pid, since, _ = paths.lock("detect").read_text().splitlines()
        assert pid == str(os.getpid())
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", since)
    assert stat.S_IMODE(paths.run_dir.stat().st_mode) == 0o755
    # a lock that anyone may open is a lock that anyone may hold
    assert stat.S_IMODE(paths.lock("detect").stat().st_mode) == 0o600
    with job_lock(paths, "detect"):
        pass


def test_a_second_instance_says_who_holds_it(paths, holder):
    with pytest.raises(LockedError) as caught, job_lock(paths, "detect"):
        pass
    assert caught.value.exit_code is ExitCode.LOCKED
    message = caught.value.message
    assert message.startswith(f"detect: another instance is running: pid {holder.pid} since 20")
    assert message.endswith(f"(-c {paths.root})")


def test_another_job_is_not_held_up(paths, holder):
    with job_lock(paths, "cleanup"):
        pass


def test_a_holder_that_has_not_told_yet(paths, holder):
    os.truncate(paths.lock("detect"), 0)
    with pytest.raises(LockedError, match="only just begun"), job_lock(paths, "detect"):
        pass


def test_a_killed_holder_does_not_matter(paths, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert paths.lock("detect").read_text()
    with job_lock(paths, "detect"):
        assert paths.lock("detect").read_text().startswith(f"{os.getpid()}\n")


def test_a_child_left_hanging_does_not_hold_the_lock(paths, tmp_path):
    argv = [sys.executable, "-c", HOLD, str(tmp_path), "and fork"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as parent:
        pids = {int(parent.stdout.readline()) for _ in range(2)}
        parent.kill()
        parent.wait()
        (child,) = pids - {parent.pid}
        try:
            with job_lock(paths, "detect"):
                pass
        finally:
            os.kill(child, signal.SIGKILL)


def test_the_lock_is_given_back_after_an_error(paths):
    def run():
        with job_lock(paths, "detect"):
            raise KeyError

    with pytest.raises(KeyError):
        run()
    with job_lock(paths, "detect"):
        pass


def test_a_link_is_not_followed(paths, tmp_path):
    paths.run_dir.mkdir(parents=True)
    (tmp_path / "victim").write_text("precious")
    paths.lock("detect").symlink_to(tmp_path / "victim")
    with pytest.raises(Ds01Error) as caught, job_lock(paths, "detect"):
        pass
    assert "symbolic link" in caught.value.hint
    assert (tmp_path / "victim").read_text() == "precious"


def test_no_directory_can_be_made(paths, tmp_path):
    (tmp_path / "run").write_text("in the way")
    with pytest.raises(Ds01Error, match="cannot lock"), job_lock(paths, "detect"):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_not_permitted(tmp_path):
    program = (
        "import fcntl, os, shlex, sys; from pathlib import Path\n"
        "from ds01ctl.errors import Ds01Error; from ds01ctl.lock import job_lock\n"
        "from ds01ctl.paths import Paths\n"
        "os.chroot(sys.argv[1]); os.chdir('/')\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try:\n  with job_lock(Paths(Path('/')), 'detect'): pass\n"
        "except Ds01Error as error: print(error.message, '|', error.hint)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    expected = "cannot lock /run/ds01/detect.lock: Permission denied | run it as root\n"
    assert done.stdout == expected
