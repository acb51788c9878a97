"""What the policy says about images, networks and the build cache, each with its origin."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ds01ctl.core.policy import Policy


class Rules(NamedTuple):
    """The values; a null where null means that the rule is off."""

    high_percent: float = 85
    low_percent: float = 80
    min_age_h: float = 24
    min_age_unseen_h: float | None = 336
    keep_per_repository: int = 1
    keep: tuple[str, ...] = ()
    """Globs for whole references, ``repository:tag``."""
    keep_label: str = "ds01.keep"
    max_unused_d: float | None = None
    networks_unused_h: float | None = 24
    cache_keep_gib: float | None = None
    protected_labels: tuple[str, ...] = ("ds01.protected", "ds01.monitoring")
    origins: Mapping[str, str] = {}
    """By the name after ``cleanup.``: where the value was written."""

    def told(self, key: str) -> str:
        """Tell a rule, its value and its origin, as a reason does."""
        name = key.rpartition(".")[2]
        field = "cache_keep_gib" if key == "cache.keep_gib" else name
        value = getattr(self, field)
        shown = f"{value:g}" if isinstance(value, float) else "null" if value is None else value
        return f"cleanup.{key} {shown}, {self.origins.get(key, 'built-in')}"


_KEYS = (
    "images.high_percent",
    "images.low_percent",
    "images.min_age_h",
    "images.min_age_unseen_h",
    "images.keep_per_repository",
    "images.keep",
    "images.keep_label",
    "images.max_unused_d",
    "networks_unused_h",
    "cache.keep_gib",
)


def rules(policy: Policy) -> Rules:
    """Read the rules from a policy."""
    settings = {key: policy.setting(f"cleanup.{key}") for key in _KEYS}
    value = {key: setting.value for key, setting in settings.items()}
    label = policy.value("monitoring.infrastructure_label")
    labels = (*Rules().protected_labels, *([str(label)] if label else ()))
    return Rules(
        high_percent=float(value["images.high_percent"]),
        low_percent=float(value["images.low_percent"]),
        min_age_h=float(value["images.min_age_h"] or 0),
        min_age_unseen_h=_number(value["images.min_age_unseen_h"]),
        keep_per_repository=int(value["images.keep_per_repository"] or 0),
        keep=tuple(value["images.keep"] or ()),
        keep_label=str(value["images.keep_label"] or ""),
        max_unused_d=_number(value["images.max_unused_d"]),
        networks_unused_h=_number(value["networks_unused_h"]),
        cache_keep_gib=_number(value["cache.keep_gib"]),
        protected_labels=tuple(dict.fromkeys(labels)),
        origins={key: str(one.origin) for key, one in settings.items() if one.origin},
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
