"""Make the disk image of the test host, once: a Debian 12 with Docker, quotas and cron.

The image lies in a cache outside the tree, under a key made of everything that it is made of.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.host import wheels

if TYPE_CHECKING:
    from collections.abc import Iterator

SUITE = "bookworm"
DISK_SIZE = "6G"
# a kernel, systemd and a shell; what ds01ctl looks after; what its tests look with
PACKAGES = """
    linux-image-cloud-amd64 systemd systemd-sysv dbus dbus-user-session udev libpam-systemd kmod
    procps iproute2 openssh-server ca-certificates tzdata
    docker.io containerd runc iptables apparmor cron logrotate quota xfsprogs e2fsprogs
    python3 python3-venv
    bpftool strace busybox-static
"""
FILES = {
    "etc/hostname": "gpu01\n",
    "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 gpu01\n",
    "etc/fstab": "/dev/vda / ext4 defaults 0 1\n",
    # pam_env complains of its absence at every login
    "etc/default/locale": "LANG=C.UTF-8\n",
    "etc/systemd/network/10-all.network": (
        "[Match]\nName=eth0\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n"
    ),
    # commands of a test run share one connection, each in a session of its own
    "etc/ssh/sshd_config.d/50-test.conf": "UseDNS no\nMaxSessions 64\n",
    # on the disk, so that the journal of before a reboot can be read after it
    "etc/systemd/journald.conf.d/50-test.conf": "[Journal]\nStorage=persistent\n",
}
# a fast start: the first stage has the disk and its file system to find, and no more
EARLY_FILES = {
    "etc/initramfs-tools/conf.d/test-host": "MODULES=list\nCOMPRESS=lz4\nRESUME=none\n",
    "usr/share/initramfs-tools/modules.d/test-host": "virtio_pci\nvirtio_blk\next4\n",
}
# they come by themselves, and look for a network that is not there or for hours to be idle in
MASKED = "apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer"
ENABLED = "systemd-networkd.service"
# made here and not in the guest, where the same takes minutes
VENV = "/opt/ds01ctl"
WHEELS = "/opt/wheels"
_BUILD_S = 1200
_UNUSED_S = 7 * 24 * 3600
_PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "ssh": "openssh-client",
}
_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


class Image(NamedTuple):
    """A built image; its files are only ever read."""

    folder: Path

    @property
    def disk(self) -> Path:
        """The root file system, raw."""
        return self.folder / "disk.img"

    @property
    def kernel(self) -> Path:
        """The image's own kernel."""
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """The first stage that goes with the kernel."""
        return self.folder / "initrd.img"

    @property
    def ssh_key(self) -> Path:
        """The private key that lets root of the guest in."""
        return self.folder / "id_ed25519"

    @property
    def build_wheels(self) -> Path:
        """What this machine needs to make the project's wheel."""
        return self.folder / "build-wheels"


def missing() -> str | None:
    """Say why no virtual machine can be had here; None where it can."""
    if os.geteuid() != 0:
        return "the virtual machine's image needs root"
    absent = [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
    named = ", ".join(f"{name} (Debian package {_PROGRAMS[name]})" for name in absent)
    return f"for a virtual machine there is no {named}" if absent else None


def cache() -> Path:
    """Say where images lie: outside the tree, which must not grow by gigabytes."""
    named = os.environ.get("DS01_HOST_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "ds01ctl-host"


def key() -> str:
    """Name the recipe: this file, and the packages of Python that it carries in."""
    needed = [*wheels.dependencies(), *wheels.build_requirements(), str(sys.version_info[:2])]
    recipe = Path(__file__).read_text() + "\n".join(needed)
    return hashlib.sha256(recipe.encode()).hexdigest()[:16]


def ready() -> Image:
    """Return the image of this recipe; build it where the cache has none."""
    image = Image(cache() / key())
    with alone(cache()):
        if not image.folder.exists():
            _sweep()
            _build(image)
        os.utime(image.folder)
    return image


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold off other test runs that would build the same."""
    folder.mkdir(parents=True, exist_ok=True)
    # on the folder itself: no lock file stays behind, whatever happens
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sweep() -> None:
    """Remove what a killed build left, and images that nobody has used for a week."""
    for old in cache().iterdir():
        if old.suffix == ".part" or time.time() - old.stat().st_mtime > _UNUSED_S:
            shutil.rmtree(old)


def _build(image: Image) -> None:
    made = Image(image.folder.with_suffix(".part"))
    root = made.folder / "root"
    root.parent.mkdir()
    try:
        wheels.fetch_build_requirements(made.build_wheels)
        _bootstrap(root)
        _admit_root(root, made.ssh_key)
        shutil.copy(next(root.glob("boot/vmlinuz-*")), made.kernel)
        shutil.copy(next(root.glob("boot/initrd.img-*")), made.initrd)
        _run("mke2fs", "-q", "-F", "-t", "ext4", "-d", str(root), str(made.disk), DISK_SIZE)
        shutil.rmtree(root)
        made.folder.rename(image.folder)
    finally:
        shutil.rmtree(made.folder, ignore_errors=True)


def _bootstrap(root: Path) -> None:
    early, late = root.with_name("early"), root.with_name("late")
    _write(early, EARLY_FILES)
    _write(late, FILES)
    wheels.fetch_dependencies(late / WHEELS.lstrip("/"))
    try:
        # what it mounts is nobody else's to hold, and goes with it
        _run(
            "unshare",
            "--mount",
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            f"--include={','.join(PACKAGES.split())}",
            f'--essential-hook=cp -r {early}/. "$1"/',
            f'--customize-hook=cp -r {late}/. "$1"/',
            f'--customize-hook=chroot "$1" systemctl --quiet mask {MASKED}',
            f'--customize-hook=chroot "$1" systemctl --quiet enable {ENABLED}',
            f'--customize-hook=chroot "$1" python3 -m venv {VENV}',
            f'--customize-hook=chroot "$1" {VENV}/bin/pip install --quiet --no-index'
            f" --root-user-action=ignore $(cd {late} && ls -d opt/wheels/*.whl | sed s,^,/,)",
            SUITE,
            str(root),
        )
    finally:
        shutil.rmtree(early)
        shutil.rmtree(late)


def _admit_root(root: Path, private: Path) -> None:
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test host", "-f", str(private))
    keys = root / "root/.ssh/authorized_keys"
    keys.parent.mkdir(mode=0o700, exist_ok=True)
    keys.write_text(private.with_suffix(".pub").read_text())
    keys.chmod(0o600)


def _write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _run(*argv: str) -> None:
    done = subprocess.run(
        argv,
        env={**os.environ, "PATH": _PATH, "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_BUILD_S,
        check=False,
    )
    if done.returncode:
        said = done.stdout.decode(errors="replace")[-3000:]
        raise RuntimeError(f"{argv[0]} exited with {done.returncode}:\n{said}")


if __name__ == "__main__":
    reason = missing()
    sys.exit(reason) if reason else print(ready().folder)
