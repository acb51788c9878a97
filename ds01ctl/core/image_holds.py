"""Why an image is not removed, whatever the disk says."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.image_names import is_ours, reference, repository
from ds01ctl.core.image_uses import Names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from ds01ctl.core.image_ages import Ages
    from ds01ctl.core.image_families import Families
    from ds01ctl.core.image_model import Holder, Image
    from ds01ctl.core.image_rules import Rules


class Hold(NamedTuple):
    """One reason to leave an image alone."""

    group: str
    """What all images have in common that are held so, for a count of them."""
    why: str


def holds(
    families: Families,
    holders: Sequence[Holder],
    rules: Rules,
    ages: Ages,
    infrastructure: Collection[str] = (),
) -> dict[str, Hold]:
    """Find what holds each image of one engine; one without an entry may go.

    infrastructure: ids and references of images that infrastructure is made from.
    """
    names = Names(families.by_id.values())
    used = _in_use(names, holders)
    owned = _of_infrastructure(families, names, infrastructure)
    newest = _newest(families, rules)
    found: dict[str, Hold] = {}
    for image in families.by_id.values():
        ways = (
            used.get(image.id),
            owned.get(image.id) or _by_protection(image, rules),
            _by_label(image, rules),
            _by_name(image, rules),
            _by_age(image, families, ages),
            newest.get(image.id),
        )
        if hold := next(filter(None, ways), None):
            found[image.id] = hold
    return found | _with_kept_children(families, found)


def _in_use(names: Names, holders: Sequence[Holder]) -> dict[str, Hold]:
    """By id and by what the container's maker wrote: the two may differ (containerd's store)."""
    found: dict[str, Hold] = {}
    for holder in holders:
        for text in (holder.image_id, holder.image):
            id_ = names.find(holder.engine, text) if text else None
            if id_ is not None:
                why = f"container {holder.name} ({holder.state}) uses it"
                found.setdefault(id_, Hold("used by a container", why))
    return found


def _of_infrastructure(
    families: Families, names: Names, infrastructure: Collection[str]
) -> dict[str, Hold]:
    engines = {image.engine for image in families.by_id.values()}
    found = {names.find(engine, text) for engine in engines for text in infrastructure}
    hold = Hold("infrastructure's", "infrastructure is made from it")
    return {id_: hold for id_ in found if id_ is not None}


def _by_protection(image: Image, rules: Rules) -> Hold | None:
    for label in rules.protected_labels:
        if image.labels.get(label, "").lower() == "true":
            return Hold("infrastructure's", f"its label {label}=true")
    return None


def _by_label(image: Image, rules: Rules) -> Hold | None:
    value = image.labels.get(rules.keep_label) if rules.keep_label else None
    if value is None or value.lower() == "false":
        return None
    return Hold(
        "kept by label", f"its label {rules.keep_label} ({rules.told('images.keep_label')})"
    )


def _by_name(image: Image, rules: Rules) -> Hold | None:
    for name in image.references:
        for glob in rules.keep:
            # a reference in the engine's spelling, or in the short one
            if fnmatchcase(name, glob) or fnmatchcase(reference(name), glob):
                where = rules.origins.get("images.keep", "built-in")
                why = f"{name} is kept as {glob} (cleanup.images.keep, {where})"
                return Hold("kept by name", why)
    return None


def _by_age(image: Image, families: Families, ages: Ages) -> Hold | None:
    """Hold what was used, tagged or first seen lately: somebody is about to use it, or again."""
    first = families.first_seen(image)
    young = ages.young(None if first is None else max(first, families.used_at[image.id]))
    return Hold(*young) if young else None


def _newest(families: Families, rules: Rules) -> dict[str, Hold]:
    """Hold the newest images of each repository, by when they were built."""
    found: dict[str, Hold] = {}
    if rules.keep_per_repository <= 0:
        return found
    for name, members in _repositories(families).items():
        ranked = sorted(members, key=lambda one: _newness(one, families), reverse=True)
        for image in ranked[: rules.keep_per_repository]:
            why = f"among the newest of {name} ({rules.told('images.keep_per_repository')})"
            found.setdefault(image.id, Hold("the newest of its repository", why))
    return found


def _repositories(families: Families) -> dict[str, list[Image]]:
    found: dict[str, list[Image]] = {}
    for image in families.by_id.values():
        references = [one for one in image.references if not is_ours(one)]
        for name in dict.fromkeys(repository(reference(one)) for one in references):
            found.setdefault(name, []).append(image)
    return found


def _newness(image: Image, families: Families) -> tuple[float, int, str]:
    # builders that want the same bytes twice give all their images one time
    built = image.created_at.timestamp() if image.created_at else 0.0
    return built, families.first_seen(image) or 0, image.id


def _with_kept_children(families: Families, held: dict[str, Hold]) -> dict[str, Hold]:
    found: dict[str, Hold] = {}
    for id_ in held:
        for ancestor in _free_ancestors(families, id_, held, found):
            why = f"{_called(families.by_id[id_])}, which is kept, was built upon it"
            found[ancestor] = Hold("under an image that is kept", why)
    return found


def _free_ancestors(
    families: Families, id_: str, held: dict[str, Hold], found: dict[str, Hold]
) -> Iterator[str]:
    for ancestor in families.ancestors(id_):
        if ancestor in found:
            return
        if ancestor not in held:
            yield ancestor


def _called(image: Image) -> str:
    return image.references[0] if image.references else image.id.removeprefix("sha256:")[:12]
