"""What a test sees of the test host: an admin's root shell, and things to put into the world."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.host import hardware
from tests.host.containers import Container
from tests.host.image import VENV, WHEELS
from tests.host.machine import COMMAND_S

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path

    from tests.host.machine import Machine
    from tests.host.ssh import Ran
    from tests.nvml.double import NvmlDouble

_INSTALL_S = 300.0


def install_wheel(machine: Machine, wheel: Path, *, venv: str = VENV) -> str:
    """Install or upgrade the project as an admin does, with pip; return the program's path."""
    carried = f"/root/{wheel.name}"
    machine.put(wheel, carried)
    offline = f"--no-index --find-links={WHEELS} --root-user-action=ignore"
    machine.ok(f"{venv}/bin/pip install --quiet {offline} {carried}", timeout_s=_INSTALL_S)
    machine.ok(f"rm {carried}")
    return f"{venv}/bin/ds01ctl"


class Host:
    """The test host for one test: whatever is put there through it is gone after the test."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._undo = ExitStack()

    def run(self, command: str, *, timeout_s: float = COMMAND_S, stdin: str = "") -> Ran:
        """Run a command line in root's shell and return its status and output."""
        return self.machine.run(command, timeout_s=timeout_s, stdin=stdin)

    def ok(self, command: str, *, timeout_s: float = COMMAND_S, stdin: str = "") -> str:
        """Run a command line that must succeed and return what it printed."""
        return self.machine.ok(command, timeout_s=timeout_s, stdin=stdin)

    def put(self, source: Path | str, target: str, *, mode: int = 0o644) -> None:
        """Copy a file or folder, or write a text, to a path in the guest; it stays there."""
        self.machine.put(source, target, mode=mode)

    def get(self, source: str) -> bytes:
        """Return the content of a file in the guest."""
        return self.machine.get(source)

    def journal(self, unit: str | None = None, *, options: str = "") -> str:
        """Return the journal of this boot, of one unit or of everything."""
        return self.machine.journal(unit, options=options)

    def start(self, command: str) -> subprocess.Popen[bytes]:
        """Start a command line that runs beside the test, at most as long as the test."""
        started = self.machine.start(command)
        self._undo.callback(started.wait)
        self._undo.callback(started.kill)
        return started

    def reboot(self) -> None:
        """Restart the guest in an orderly way and wait until it is up again."""
        self.machine.reboot()

    def container(self, options: str = "", command: str = "sleep 100000") -> Container:
        """Start a container: ``options`` as after ``docker run``."""
        container = Container(self.machine, options, command)
        self._undo.callback(container.remove)
        return container

    def hook_granted_container(self, options: str = "") -> Container:
        """Start a container that got a device as the NVIDIA hook gives it: behind systemd's back.

        ``has_access()`` tells whether it still has it.
        """
        container = self.container(options)
        container.grant()
        return container

    def gpus(self, nvml: NvmlDouble) -> None:
        """Let every program and service that starts from now on find these GPUs."""
        hardware.set_gpus(self.machine, nvml, self._undo.callback)

    def powercap(self, zones: Mapping[str, Mapping[str, object]]) -> None:
        """Give the host energy counters (RAPL): files by zone. Again: new values."""
        hardware.set_powercap(self.machine, zones, self._undo.callback)

    def disk(self, kind: str, options: str = "") -> str:
        """Mount a fresh ``xfs`` or ``ext4`` with user, group and project quotas; return where."""
        return hardware.mount_disk(self.machine, kind, options, self._undo.callback)

    def user(self, login: str) -> int:
        """Create a user with a home and return the uid."""
        self.ok(f"useradd --create-home --shell=/bin/sh '{login}'")
        self._undo.callback(self.run, f"userdel --force --remove '{login}'")
        return int(self.ok(f"id --user '{login}'"))

    def session(
        self, login: str, command: str = "sleep infinity", *, kind: str = "background"
    ) -> str:
        """Log a user in, let a command run there, and return the name of its unit.

        The session and the user's slice stay until the test ends, or the unit is stopped. kind is
        logind's class: ``user`` is somebody who sits there.
        """
        unit = f"session-of-{login}.service"
        self.ok(
            f"systemd-run --quiet --collect --unit={unit} --uid='{login}' "
            f"--setenv=XDG_SESSION_CLASS={kind} --property=PAMName=login {command}"
        )
        self._undo.callback(self.log_out, login)
        # the login comes after the start, and takes the process from the unit to the user's slice
        self.ok(
            f"pid=$(systemctl show --property=MainPID --value {unit}); "
            "until grep -q /user.slice/ /proc/$pid/cgroup; do sleep 0.1; done"
        )
        return unit

    def log_out(self, login: str) -> None:
        """End a user's sessions, and all that they have left behind.

        logind lets go of what a session's first process leaves: with the slice it ends, too.
        """
        self.run(
            f"systemctl stop session-of-{login}.service; loginctl terminate-user '{login}'; "
            f"systemctl stop user-$(id --user '{login}').slice"
        )

    def clean(self) -> None:
        """Take back what was put there, the last first."""
        self._undo.close()
