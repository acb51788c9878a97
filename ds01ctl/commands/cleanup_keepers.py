"""Find out who is kept from `cleanup`: by admins' keeps, by users' files; and who is an admin."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.commands import cleanup_keeps, enforce_memory
from ds01ctl.core.cleanup_model import Plan, Trip
from ds01ctl.core.model import Gap
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ds01ctl.core.cleanup_model import Clock, Keep
    from ds01ctl.core.model import Container, Snapshot
    from ds01ctl.core.policy import Policy
    from ds01ctl.core.workload import Workload
    from ds01ctl.observe.users import UsersReading
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
        parts = ("idle", "runtime", "stopped", "created", "gpu-holds", "users")
        trips = (Trip("state", parts, error.message),)  # type: ignore[arg-type]  # six of the parts
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
    homes = homes_of(workloads, policy, paths)
    sure = frozenset(
        one.container.id for one in workloads if one.container and one.owner.confidence == "certain"
    )
    return keep_files.read(containers, owners, homes, paths, clock, longest, sure)


def homes_of(
    workloads: Sequence[Workload], policy: Policy, paths: Paths
) -> dict[int, tuple[str, ...]]:
    """Give the folders that may be each owner's home: the account's, and those of the policy.

    In another's folder a file counts only if it is his own.
    """
    from ds01ctl.observe import user_homes

    logins = {w.owner.uid: w.owner.login for w in workloads if w.owner.uid and w.owner.login}
    told = user_homes.read(
        logins, paths.under("/etc/passwd"), deadline_s=float(policy.value("users.timeout_s"))
    )
    folders = [str(one).rstrip("/") for one in policy.value("users.home_dirs") or ("/home",)]
    homes = {}
    for uid, login in logins.items():
        own = [told[uid]] if uid in told else []
        homes[uid] = tuple(dict.fromkeys([*own, *(f"{folder}/{login}" for folder in folders)]))
    return homes


def nobodys(policy: Policy, snapshot: Snapshot, paths: Paths) -> frozenset[str]:
    """Give the names in exemptions that are surely nobody's; none while the directory is down."""
    names = {one.username for one in policy.exemptions}
    names -= {*snapshot.uids, *snapshot.users.values()}
    if not names or snapshot.lacks("users"):
        return frozenset()
    return frozenset(names) & ask_names(names, policy, snapshot, paths).gone


def ask_names(
    names: Collection[str], policy: Policy, snapshot: Snapshot, paths: Paths
) -> UsersReading:
    """Ask the name service for logins that nothing here has named yet."""
    from ds01ctl.observe import users

    # a directory's "no such user" counts only where it has answered for somebody else
    return users.read(
        (),
        {*names, *snapshot.users.values()},
        (),
        deadline_s=float(policy.value("users.timeout_s")),
        home_dirs=(),
        passwd=paths.under("/etc/passwd"),
        nsswitch=paths.under("/etc/nsswitch.conf"),
    )


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
