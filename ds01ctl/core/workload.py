"""A workload: one container, or one process on the host, with its owner and its verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ds01ctl.core.cgroup_path import Place
    from ds01ctl.core.gpu_access import GpuAccess
    from ds01ctl.core.model import Container, GpuUse, Process
    from ds01ctl.core.owner import Owner

Kind = Literal[
    "managed",
    "devcontainer",
    "compose",
    "jupyter",
    "api",
    "docker",
    "infrastructure",
    "unknown",
    "host-process",
]
Verdict = Literal["managed", "unmanaged", "exempt", "infrastructure", "system", "unknown"]


class Workload(NamedTuple):
    """One container, known or not, or one process on the host."""

    kind: Kind
    verdict: Verdict
    why: str
    """The reason for the verdict, in words."""
    owner: Owner
    place: Place | None
    container: Container | None = None
    access: GpuAccess | None = None
    """What the container was given; None: not a container, or not known."""
    processes: tuple[Process, ...] = ()
    uses: tuple[GpuUse, ...] = ()
    evidence: tuple[str, ...] = ()

    @property
    def has_gpu(self) -> bool:
        """Has access to a GPU, or uses one."""
        return bool(self.uses or (self.access and self.access.forms))

    @property
    def since(self) -> datetime | None:
        """When it began."""
        if self.container:
            return self.container.started_at or self.container.created_at
        return min((process.started_at for process in self.processes), default=None)


def platform_label(labels: Mapping[str, str]) -> str | None:
    """Find the label by which the platform, old or new, marks what it made."""
    for label in ("ds01.managed", "aime.mlc.DS01_MANAGED"):
        if labels.get(label, "").lower() == "true":
            return f"{label}=true"
    return next((label for label in ("aime.mlc.USER", "aime.mlc") if labels.get(label)), None)


def origin(container: Container) -> Kind:
    """Tell what made a container that the platform did not."""
    labels = container.labels
    declared = {labels.get("ds01.interface"), labels.get("ds01.container_type")}
    if any(key.startswith("devcontainer.") for key in labels) or container.name.startswith(
        ("vsc-", "vscode-")
    ):
        return "devcontainer"
    if "com.docker.compose.project" in labels:
        return "compose"
    if "hub.jupyter.org/username" in labels or container.name.startswith("jupyter-"):
        return "jupyter"
    return "api" if "api" in declared else "docker"
