"""Ask Docker for the settings under which slices can bind containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.doctor_docker import driver_row, parent_row
from ds01ctl.core.host_facts import Unread
from ds01ctl.core.plan import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.policy import Policy
    from ds01ctl.paths import Paths


def engine_findings(policy: Policy, paths: Paths) -> Iterator[Finding]:
    """Find the settings of the engine that keep slices from binding its containers."""
    from ds01ctl.observe import host_docker

    facts = host_docker.read(paths, policy, ())
    if isinstance(facts.engine, Unread):
        # told as a gap already
        return
    if facts.engine.cgroup_driver == "cgroupfs":
        subject = {"type": "engine", "host": facts.host, "check": "cgroup driver"}
        text = "cgroupfs: no slice of systemd's binds its containers; each is held by itself"
        fix = f'in {facts.config_path}: "exec-opts": ["native.cgroupdriver=systemd"]'
        told = (text, f"{fix}; then, when no container runs: systemctl restart docker")
        key = ("engine-setting", facts.host, "cgroup driver")
        yield Finding("engine-setting", "warning", None, subject, told, key)
        # a parent is no slice then
        return
    for row in (driver_row(facts, facts.engine, policy), parent_row(facts, facts.engine, policy)):
        if row.state in {"problem", "warning"}:
            subject = {"type": "engine", "host": facts.host, "check": row.check}
            evidence = (f"{row.check}: {row.found}", str(row.why), str(row.fix))
            key = ("engine-setting", facts.host, row.check)
            yield Finding("engine-setting", "warning", None, subject, evidence, key)
