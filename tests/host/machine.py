"""The test host: a whole Debian machine, with systemd and Docker, that a test may spoil."""

from __future__ import annotations

import io
import subprocess
import tarfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

from tests.host.image import Image
from tests.host.qemu import Emulator, Scratch
from tests.host.ssh import Connection, Ran

BOOT_S = 600.0
COMMAND_S = 180.0


class Machine:
    """A running guest; leave the ``with`` block, or die, and nothing of it is left."""

    def __init__(self, image: Image, *, saved: Path | None = None) -> None:
        with ExitStack() as stack:
            self.folder = stack.enter_context(Scratch())
            self._emulator = Emulator(image, self.folder, saved=saved)
            stack.callback(self._emulator.stop)
            self._ssh = Connection(self.folder, image.ssh_key, self._emulator.ssh_port())
            stack.callback(self._ssh.close)
            self._wait_until_up()
            self._rest = stack.pop_all()

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _wait_until_up(self) -> None:
        try:
            self._ssh.open(BOOT_S)
            # a resumed guest thinks that it is still the moment at which it was saved
            self.set_clock()
            self.run("systemctl is-system-running --wait", timeout_s=BOOT_S)
        except (TimeoutError, subprocess.TimeoutExpired) as error:
            raise RuntimeError(f"{error}; the console says:\n{self.console[-3000:]}") from error

    def set_clock(self) -> None:
        """Set the guest's clock by this machine's."""
        self.run(f"date --utc --set=@{time.time():.3f}")

    @property
    def console(self) -> str:
        """Everything that the guest's kernel and boot wrote to its serial line."""
        return self._emulator.console.read_text(errors="replace")

    def pids(self) -> tuple[int, int]:
        """Tell the processes that make the machine: the emulator, and the connection to it."""
        return self._emulator.pid, self._ssh.pid

    def run(self, command: str, *, timeout_s: float = COMMAND_S, stdin: str = "") -> Ran:
        """Run a command line in root's shell and return its status and output."""
        status, out, err = self._ssh.run(command, timeout_s=timeout_s, stdin=stdin.encode())
        return Ran(status, out.decode(errors="replace"), err.decode(errors="replace"))

    def ok(self, command: str, *, timeout_s: float = COMMAND_S, stdin: str = "") -> str:
        """Run a command line that must succeed and return what it printed."""
        ran = self.run(command, timeout_s=timeout_s, stdin=stdin)
        assert ran.status == 0, f"{command}\nexited with {ran.status}\n{ran.out}{ran.err}"
        return ran.out

    def put(self, source: Path | str, target: str, *, mode: int = 0o644) -> None:
        """Copy a file or a folder of this machine, or a text, to a path in the guest."""
        if isinstance(source, str):
            self.ok(f"install -D -m {mode:o} /dev/stdin '{target}'", stdin=source)
            return
        parent, _, name = target.rpartition("/")
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(source, arcname=name)
        unpack = f"mkdir -p '{parent}/' && tar -C '{parent}/' --no-same-owner -xf -"
        status, _, err = self._ssh.run(unpack, timeout_s=COMMAND_S, stdin=packed.getvalue())
        assert status == 0, err.decode(errors="replace")

    def get(self, source: str) -> bytes:
        """Return the content of a file in the guest."""
        status, out, err = self._ssh.run(f"cat '{source}'", timeout_s=COMMAND_S)
        assert status == 0, err.decode(errors="replace")
        return out

    def journal(self, unit: str | None = None, *, options: str = "") -> str:
        """Return the journal of this boot, of one unit or of everything."""
        of_unit = f"--unit='{unit}'" if unit else ""
        return self.ok(f"journalctl --sync; journalctl --boot --no-pager {of_unit} {options}")

    def start(self, command: str) -> subprocess.Popen[bytes]:
        """Start a command line that runs beside the others."""
        return self._ssh.start(command)

    def shell_argv(self) -> list[str]:
        """Return what opens root's shell on this terminal."""
        return self._ssh.argv("exec bash --login", "-t")

    def boot_id(self) -> str:
        """Name this boot of the guest."""
        return self.ok("cat /proc/sys/kernel/random/boot_id").strip()

    def reboot(self) -> None:
        """Restart the guest in an orderly way and wait until it is up again."""
        before = self.boot_id()
        with suppress(subprocess.TimeoutExpired):
            self.run("systemctl reboot", timeout_s=20)
        waiting_until = time.monotonic() + BOOT_S
        while time.monotonic() < waiting_until:
            self._ssh.open(BOOT_S)
            now = self.run("cat /proc/sys/kernel/random/boot_id")
            if now.status == 0 and now.out.strip() != before:
                return self._wait_until_up()
            time.sleep(0.5)
        raise TimeoutError("the guest did not come back")

    def save(self, folder: Path) -> None:
        """Keep this very moment in a folder, to be resumed from as often as wanted; and stop."""
        self.ok("sync")
        self._ssh.close()
        self._emulator.save(folder)
        self.stop()

    def stop(self) -> None:
        """Switch off, and remove every trace."""
        self._rest.close()
