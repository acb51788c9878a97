"""By what past hours are computed, when their energy is told later."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from ds01ctl.commands import carbon_factors, carbon_hours, gathering
from ds01ctl.core.energy_booking import HOUR_S, hours_of
from ds01ctl.core.energy_model import Interval, Portion
from ds01ctl.core.intensity import Figure
from ds01ctl.paths import Paths
from tests.cli.carbon_host import CarbonHost
from tests.cli.carbon_host import host as host

NOW = datetime(2026, 11, 1, 0, 31, tzinfo=timezone.utc)
HOUR = int(NOW.timestamp() // HOUR_S)


def past(host: CarbonHost, policy: str, hours: range) -> dict[int, tuple[str, float]]:
    """Say of each past hour: level and g/kWh."""
    host.policy(f"carbon: {{zone: DE, pue: 1.5, {policy}}}\n")
    paths = Paths(host.root)
    loaded = gathering.load_policy(paths, None)
    cache = [
        Figure("electricity-maps", "DE", NOW - timedelta(hours=ago, minutes=16), 400.0 - ago)
        for ago in range(24)
    ]
    now = carbon_factors.factors_of(loaded.policy, cache, NOW, paths)
    found = carbon_hours.of_past_hours(loaded.policy, cache, now, hours, NOW)
    assert all(one.pue == 1.5 for one in found.values())
    return {hour: (one.intensity.level, one.intensity.g_per_kwh) for hour, one in found.items()}


def test_each_has_the_figure_that_was_live_at_its_end(host) -> None:
    found = past(host, "provider: electricity-maps, token_file: /etc/t", range(HOUR - 3, HOUR + 1))
    # the figures are of a quarter past; the hour before now ends at 0:00
    assert found == {HOUR - ago: ("live", 400.0 - ago) for ago in (1, 2, 3)}


def test_before_all_that_a_provider_said_it_is_the_tables(host) -> None:
    found = past(
        host, "provider: electricity-maps, token_file: /etc/t", range(HOUR - 40, HOUR - 38)
    )
    assert set(found.values()) == {("zone", 329.65)}


def test_what_is_configured_holds(host) -> None:
    found = past(host, "intensity_g_per_kwh: 30", range(HOUR - 2, HOUR + 2))
    assert found == dict.fromkeys((HOUR - 2, HOUR - 1), ("configured", 30.0))


def test_hours_of_what_took_longer() -> None:
    parts = [Portion("a", "cpu", "measured", "cpu-time", 5, seconds=s) for s in (0.0, 9060.0)]
    found = carbon_hours.longer_hours(Interval(0, 60, (), tuple(parts)), NOW)
    assert found == {9060.0: hours_of(NOW.timestamp(), 9060)}
    assert set(found[9060.0]) == {HOUR - 2, HOUR - 1, HOUR}
