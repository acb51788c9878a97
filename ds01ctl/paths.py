"""Every path on the host, under one root that tests can move with ``DS01_ROOT``."""

from __future__ import annotations

from pathlib import Path


class Paths:
    """Where things lie on the host; ``Paths(Path("/tmp/x")).proc`` is ``/tmp/x/proc``."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root
        self.proc = root / "proc"
        self.dev = root / "dev"
        self.config_dir = root / "etc/ds01"
        self.state_dir = root / "var/lib/ds01"
        self.run_dir = root / "run/ds01"
        self.policies = (
            self.config_dir / "resource-limits.yaml",
            root / "opt/ds01-infra/config/runtime/resource-limits.yaml",
        )
        self.state_db = self.state_dir / "ds01ctl.db"
        self.journal_socket = root / "run/systemd/journal/socket"

    def under(self, path: str | Path) -> Path:
        """Place an absolute host path under the root."""
        return self.root / str(path).lstrip("/")

    def lock(self, job: str) -> Path:
        """Name the lock file of a job."""
        return self.run_dir / f"{job}.lock"
