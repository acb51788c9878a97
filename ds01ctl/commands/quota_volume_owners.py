"""Find whose Docker's volumes are: by the files in them, and their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.commands import quota_project_site as sites
from ds01ctl.core.volume_owner import Owner, judge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ds01ctl.commands.quota_project_site import Site
    from ds01ctl.core.model import Gap
    from ds01ctl.observe.docker_volumes import DockerVolume


class Owners(NamedTuple):
    """Whose volumes are."""

    by_volume: Mapping[str, Owner | str]
    """By the volume's name; else why that cannot be told."""
    users: Mapping[int, str]
    uids: Mapping[str, int]
    gaps: tuple[Gap, ...]


def read(volumes: Sequence[DockerVolume], root: str, site: Site) -> Owners:
    """Look through volumes, and look up everybody who has files there. root: Docker's data root."""
    from ds01ctl.observe import users

    seen = {one.name: _people(one, root, site) for one in volumes}
    uids = {uid for found in seen.values() if isinstance(found, frozenset) for uid in found}
    logins = {label for one in volumes if (label := _label(one))}
    people = users.read(
        uids,
        logins,
        (),
        deadline_s=float(site.policy.value("users.timeout_s")),
        home_dirs=(),
        passwd=site.paths.under("/etc/passwd"),
        nsswitch=site.paths.under("/etc/nsswitch.conf"),
    )
    known = Owners({}, people.users, people.uids, people.gaps)
    return known._replace(
        by_volume={one.name: _judged(one, seen[one.name], known) for one in volumes}
    )


def owner_of(volume: DockerVolume, root: str, known: Owners, site: Site) -> Owner | str:
    """Look through a volume again. Whom nobody knew when all were read is no user."""
    return _judged(volume, _people(volume, root, site), known)


def _judged(volume: DockerVolume, people: frozenset[int] | str, known: Owners) -> Owner | str:
    if isinstance(people, str):
        return people
    return judge(_label(volume), people, known.users, known.uids)


def _people(volume: DockerVolume, root: str, site: Site) -> frozenset[int] | str:
    """Collect who has files in a volume, or say why it is not looked at."""
    from ds01ctl.observe import project_tags

    if why := _unfit(volume):
        return why
    place = sites.place_of(f"{root}/volumes/{volume.name}/_data", site)
    try:
        return project_tags.people_in(place)
    except OSError as error:
        return f"cannot be looked through: {error.strerror or error}"


def _label(volume: DockerVolume) -> str | None:
    return volume.labels.get("ds01.user") or None


def _unfit(volume: DockerVolume) -> str | None:
    if volume.driver != "local":
        return f"is of the driver {volume.driver}"
    if volume.has_options:
        return "has options of the driver: its data lie elsewhere, or Docker limits it itself"
    return None if volume.is_in_root else "does not lie in Docker's data root"
