"""What is odd in the section `carbon` as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.grid_providers import PROVIDERS, Provider, eic_of
from ds01ctl.core.intensity_table import ZONES, nearest_zones, zone_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.config.source import Source
    from ds01ctl.core.policy import Policy

_Found = tuple[str, str]
"""A key of the section, and what is wrong with it."""


def check_carbon(policy: Policy, source: Source) -> None:
    """Refuse zones that nobody knows; warn of keys that miss their purpose."""
    provider = PROVIDERS.get(policy.value("carbon.provider"))
    wrong = _of_provider(policy, provider) if provider else _without_provider(policy)
    for key, message in wrong:
        source.error(_line(policy, key), f"carbon.{key}", message)
    odd = [*_zone_for_later(policy, provider), *_without_purpose(policy, provider)]
    for key, message in odd:
        source.warn(_line(policy, key), f"carbon.{key}", message)


def _line(policy: Policy, key: str) -> int | None:
    origin = policy.setting(f"carbon.{key}").origin
    return origin.line if origin else None


def _without_provider(policy: Policy) -> Iterator[_Found]:
    """Look the zone up in the table, unless the intensity is written beside it."""
    zone = policy.value("carbon.zone")
    if zone and policy.value("carbon.intensity_g_per_kwh") is None and zone.upper() not in ZONES:
        yield "zone", f"{zone[:60]!r} is no zone of the table{_did_you_mean(zone)}"


def _of_provider(policy: Policy, provider: Provider) -> Iterator[_Found]:
    zone = policy.value("carbon.zone")
    name = policy.value("carbon.provider_zone") or zone
    if provider.name == "neso":
        if zone and zone.upper() != "GB":
            yield "zone", f"{zone[:60]!r}; neso knows GB alone"
    elif not name:
        yield "provider", f"{provider.name} has to be told the zone: set carbon.zone"
    elif provider.name == "entsoe" and eic_of(name) is None:
        key = "provider_zone" if policy.value("carbon.provider_zone") else "zone"
        yield key, f"{name[:60]!r} has no code of ENTSO-E here: write it as carbon.provider_zone"
    # a proxy of the admin's own may add the token
    is_own = bool(policy.value("carbon.provider_url"))
    if provider.needs_token and not is_own and not policy.value("carbon.token_file"):
        yield "provider", f"{provider.name} wants a token: set carbon.token_file"


def _zone_for_later(policy: Policy, provider: Provider | None) -> Iterator[_Found]:
    """Find a zone for which there is nothing but the world's value while the provider is mute."""
    zone = policy.value("carbon.zone")
    if provider and zone and zone_of(zone) is None:
        told = "while there is no figure of the provider, the world's value is used"
        yield "zone", f"{zone[:60]!r} is no zone of the table: {told}"


def _without_purpose(policy: Policy, provider: Provider | None) -> Iterator[_Found]:
    value = policy.value
    if provider is None:
        for key in ("provider_url", "provider_zone", "token_file"):
            if value(f"carbon.{key}"):
                yield key, "has no effect without carbon.provider"
    elif value("carbon.intensity_g_per_kwh") is not None:
        yield "provider", "has no effect beside carbon.intensity_g_per_kwh"
    weighs = any(value(f"carbon.embodied.{key}") for key in ("server_kg", "gpu_kg"))
    if weighs and not value("carbon.embodied.lifetime_h"):
        key = next(k for k in ("server_kg", "gpu_kg") if value(f"carbon.embodied.{k}"))
        yield f"embodied.{key}", "has no effect without carbon.embodied.lifetime_h"


def _did_you_mean(zone: str) -> str:
    near = nearest_zones(zone)
    known = ", ".join(sorted(ZONES))
    return f"; did you mean {' or '.join(near)}?" if near else f"; expected one of {known}"
