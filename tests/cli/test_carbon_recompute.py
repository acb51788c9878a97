"""What `carbon recompute` makes of stored energy."""

from __future__ import annotations

import time
from datetime import datetime

import pytest

from ds01ctl.core.energy_books import Hour
from ds01ctl.core.energy_projects import party_of
from ds01ctl.paths import Paths
from ds01ctl.state import State
from tests.cli.carbon_host import host as host
from tests.cli.test_carbon_report import KWH, NOVEMBER, SPAN, G, fill, november, rows


def test_recompute(host) -> None:
    november(host)
    before = host.json("carbon", "report", *SPAN)["data"]["periods"][0]["total"]
    words = (*SPAN, "--intensity", "100", "--pue", "1.0")
    planned = host.json("carbon", "recompute", *words, "--dry-run")
    assert planned["actions"][0]["outcome"] == "planned"
    assert host.json("carbon", "report", *SPAN)["data"]["periods"][0]["total"] == before
    done = host.json("carbon", "recompute", *words)
    assert done["actions"][0]["outcome"] == "done"
    assert (done["data"]["before_g"], done["data"]["after_g"]) == (48 * 1500, 240 * 100)
    after = host.json("carbon", "report", *SPAN)["data"]["periods"][0]
    assert after["total"]["carbon_g"] == 24000
    assert after["total"]["energy_kwh"] == before["energy_kwh"]
    assert "given, recomputed on" in after["factors"][0]["source"]
    assert host.events()[-1]["event_type"] == "carbon.recomputed"


def test_the_tables_values_of_a_zone(host) -> None:
    host.policy("carbon: {zone: FR, intensity_g_per_kwh: 30}\n")
    november(host)
    data = host.json("carbon", "recompute", *SPAN, "--pue", "1", "--zone", "de")["data"]
    # the newest row that is not later
    assert data["after_g"] == pytest.approx(240 * 329.65)
    assert (data["factors"][0]["zone"], data["factors"][0]["year_or_at"]) == ("DE", "2025")


def test_another_pue_alone_keeps_the_intensity_of_each_hour(host) -> None:
    host.policy("carbon: {zone: FR, intensity_g_per_kwh: 700}\n")
    live = {"source": "live: Electricity Maps", "year_or_at": "2026-11-01T00:00Z"}
    fill(host, {(NOVEMBER, "alice"): Hour(KWH, carbon_ug=45 * G)}, g_per_kwh=30.0, **live)
    fill(host, {(NOVEMBER + 1, "alice"): Hour(KWH, carbon_ug=750 * G)}, g_per_kwh=500.0, **live)
    for _ in range(2):
        # what is done twice comes out the same
        data = host.json("carbon", "recompute", *SPAN, "--pue", "1.25")["data"]
        assert data["after_g"] == 37.5 + 625
    assert data["before_g"] == data["after_g"]
    (factor,) = host.json("carbon", "report", *SPAN)["data"]["periods"][0]["factors"]
    assert (factor["zone"], factor["source"], factor["pue"]) == ("DE", live["source"], 1.25)
    assert (factor["g_per_kwh_min"], factor["g_per_kwh_max"]) == (30, 500)
    data = host.json("carbon", "recompute", *SPAN, "--pue", "1.5")["data"]
    assert data["after_g"] == 45 + 750


def test_another_pue_keeps_who_used_what_when_within_the_hour(host) -> None:
    # alice worked while it was dear, bob while it was cheap
    hours = {
        (NOVEMBER, "alice"): Hour(KWH, carbon_ug=600 * G),
        (NOVEMBER, "bob"): Hour(KWH, carbon_ug=300 * G),
    }
    fill(host, hours)
    data = host.json("carbon", "recompute", *SPAN, "--pue", "1.0")["data"]
    assert [row["after_g"] for row in data["rows"]] == [400, 200]


def test_projects_are_computed_anew_as_their_users_are(host) -> None:
    thesis = party_of("alice", "thesis")
    month = datetime.fromtimestamp(NOVEMBER * 3600).astimezone()
    hours = {
        (NOVEMBER, "alice"): Hour(KWH, carbon_ug=450 * G),
        (NOVEMBER, thesis): Hour(2 * KWH, carbon_ug=900 * G),
    }
    fill(host, hours)
    data = host.json("carbon", "recompute", *SPAN, "--intensity", "100", "--pue", "1")["data"]
    (alice,) = data["rows"]
    assert alice == {"name": "alice", "before_g": 1350, "after_g": 300}
    found = rows(host.json("carbon", "report", *SPAN, "--by", "project"))
    assert {name: row["carbon_g"] for name, row in found.items()} == {
        "thesis": 200,
        "_no_project": 100,
    }
    with State.open_for_reading(Paths(host.root)) as state:
        assert state.carbon_month(month.year * 100 + month.month) == {"alice": -1050 * G}


def test_hours_whose_factor_is_not_known(host) -> None:
    with State.open_for_recording(Paths(host.root)) as state, state.transaction():
        state.add_energy_hours({(NOVEMBER, "alice"): Hour(KWH, carbon_ug=5 * G)})
    ran = host.run("carbon", "recompute", *SPAN, "--pue", "1.25")
    assert "1 hours stay as they are" in ran.out
    data = host.json("carbon", "recompute", *SPAN, "--intensity", "100", "--pue", "1")["data"]
    assert (data["before_g"], data["after_g"], data["left"]) == (5, 100, 0)


def test_recompute_touches_no_counter(host) -> None:
    host.policy("carbon: {intensity_g_per_kwh: 3000, pue: 1.5}\n")
    host.run("carbon", "sample")
    host.work(5_000, {"61001": 1})
    time.sleep(5)
    host.run("carbon", "sample")
    before = host.metrics()
    host.json("carbon", "recompute", "--since", "2h", "--intensity", "0")
    host.run("carbon", "sample")
    after = host.metrics()
    name = 'ds01_carbon_grams_total{scope="operational",user="61001"}'
    assert after[name] >= before[name] > 0
    assert after['ds01_carbon_month_grams{user="61001"}'] == 0


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ((), 2),
        (("--since", "1d"), 2),
        (("--since", "1d", "--zone", "Germani"), 2),
        (("--since", "1d", "--zone", "DE", "--intensity", "5"), 2),
        (("--since", "1d", "--pue", "0.9"), 2),
        (("--since", "1d", "--intensity", "-5"), 2),
        (("--since", "1d", "--intensity", "99999"), 2),
    ],
)
def test_recompute_wrong_usage(host, words, status) -> None:
    assert host.run("carbon", "recompute", *words).status == status


def test_recompute_without_anything_stored(host) -> None:
    ran = host.run("carbon", "recompute", "--since", "1d", "--pue", "1.2")
    assert (ran.status, "no energy is stored" in ran.err) == (1, True)
    november(host)
    ran = host.run(
        "carbon", "recompute", "--since", "2020-01-01", "--until", "2020-02-01", "--pue", "2"
    )
    assert (ran.status, "nothing to compute" in ran.out) == (0, True)
