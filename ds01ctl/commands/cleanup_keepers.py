"""Find out who is kept from `cleanup`: by admins' keeps, by users' files; and who is an admin."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.commands import cleanup_keeps, enforce_memory
from ds01ctl.core.cleanup_model import Plan, Trip
from ds01ctl.core.model import Gap
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ds01ctl.core.cleanup_model import Clock, Keep
    from ds01ctl.core.model import Container
    from ds01ctl.core.policy import Policy
    from ds01ctl.core.workload import Workload
    from ds01ctl.paths import Paths


class Kept(NamedTuple):
    """The keeps by the full id of the container, and what is odd about them."""

    keeps: Mapping[str, Keep]
    plan: Plan = Plan()
    """Notices, and the breaker where the admins' file can't be read."""
    gaps: tuple[Gap, ...] = ()


def read(
    workloads: Sequence[Workload],
    policy: Policy,
    paths: Paths,
    clock: Clock,
) -> Kept:
    """Read the admins' file and the users' files; a file that can't be read defers everything."""
    from ds01ctl.core.cleanup_keeps import settled

    trips: tuple[Trip, ...] = ()
    gaps: tuple[Gap, ...] = ()
    rows: tuple[cleanup_keeps.Kept, ...] = ()
    try:
        rows = cleanup_keeps.load(paths)
    except Ds01Error as error:
        parts = ("idle", "runtime", "stopped", "created", "users")
        trips = (Trip("state", parts, error.message),)  # type: ignore[arg-type]  # five of the parts
        gaps = (Gap("keeps", "failed", f"{error.message}; {error.hint}"),)
    files = of_users([one.container for one in workloads if one.container], workloads, policy,
                     paths, clock)  # fmt: skip
    found = settled([one.keep for one in rows], files, workloads, policy, clock.now)
    return Kept(found.keeps, Plan(notices=found.notices, trips=trips), gaps)


def of_users(
    containers: Sequence[Container],
    workloads: Sequence[Workload],
    policy: Policy,
    paths: Paths,
    clock: Clock,
) -> Sequence[Keep]:
    """Read the users' files for some containers."""
    from ds01ctl.observe import keep_files

    owners = {
        one.container.id: one.owner.uid
        for one in workloads
        if one.container and one.owner.uid is not None
    }
    hours = policy.value("policies.keepalive_max_duration_h")
    longest = None if hours is None else timedelta(hours=float(hours))
    return keep_files.read(containers, owners, homes_of(workloads, policy), paths, clock, longest)


def homes_of(workloads: Sequence[Workload], policy: Policy) -> dict[int, str]:
    """Give the home folder of each owner, as the policy's home directories have it."""
    homes = {}
    folder = next(iter(policy.value("users.home_dirs") or ("/home",)))
    for one in workloads:
        if one.owner.uid and one.owner.login:
            homes[one.owner.uid] = f"{str(folder).rstrip('/')}/{one.owner.login}"
    return homes


def admins(policy: Policy, paths: Paths, clock: Clock) -> frozenset[str]:
    """Name the admins, so far as it matters: whose labels protect a container."""
    listed = frozenset(map(str, policy.value("access_control.admin_users") or ()))
    if policy.value("cleanup.protected_label") != "admins":
        return listed
    from ds01ctl.observe import users

    group = str(policy.value("access_control.admin_group"))
    reading = users.read(
        (),
        (),
        (),
        deadline_s=float(policy.value("users.timeout_s")),
        home_dirs=(),
        passwd=paths.under("/etc/passwd"),
        group=paths.under("/etc/group"),
        groups=[group],
        nsswitch=paths.under("/etc/nsswitch.conf"),
    )
    # a directory that is down makes a group look smaller: who was an admin a week ago still is
    remembered = enforce_memory.recall(paths, clock.now).admins
    return listed | remembered | reading.groups.get(group, frozenset())
