"""What `carbon report` and `carbon recompute` make of stored energy."""

from __future__ import annotations

import csv
import html.parser
import io
import time
from datetime import datetime, timezone

import pytest

from ds01ctl.core.energy_books import Factor, GpuHour, Hour
from ds01ctl.paths import Paths
from ds01ctl.state import State
from tests.cli.carbon_host import CarbonHost
from tests.cli.carbon_host import host as host

KWH = 3_600_000_000_000
G = 1_000_000
NOVEMBER = int(datetime(2026, 11, 1, tzinfo=timezone.utc).timestamp() // 3600)
EVIL = '<script>alert("x")</script>'


def fill(host: CarbonHost, hours: dict, gpus: dict | None = None, **factor) -> None:
    """Store hours: (hour, party) to an Hour."""
    about = Factor("DE", 300.0, "zone: Ember", "2025", 1.5, "allocation", "")._replace(**factor)
    with State.open_for_recording(Paths(host.root)) as state, state.transaction():
        state.add_energy_hours(hours)
        state.add_energy_gpu_hours(gpus or {})
        state.put_energy_factors(dict.fromkeys((hour for hour, _ in hours), about))


def november(host: CarbonHost) -> None:
    """Two days of two users, in whole kilowatt-hours."""
    rows = {}
    for hour in range(48):
        rows[NOVEMBER + hour, "alice"] = Hour(KWH, 0, 2 * KWH, 0, 0, KWH, 900 * G, 0)
        rows[NOVEMBER + hour, "bob"] = Hour(0, KWH, 0, 0, KWH, 0, 300 * G, 0)
        rows[NOVEMBER + hour, "_system"] = Hour(KWH, carbon_ug=300 * G)
    gpus = {
        (NOVEMBER + hour, "GPU-1", "alice"): GpuHour(2 * KWH, KWH) for hour in range(48)
    }  # fmt: skip
    fill(host, rows, gpus, modelled="dram by model")


SPAN = ("--since", "2026-11-01T00:00Z", "--until", "2026-11-03T00:00Z")


def rows(document: dict, period: int = 0) -> dict:
    return {row["name"]: row for row in document["data"]["periods"][period]["rows"]}


def test_by_user(host) -> None:
    november(host)
    document = host.json("carbon", "report", *SPAN)
    found = rows(document)
    assert list(found) == ["alice", "bob", "_system"]
    alice, bob = found["alice"], found["bob"]
    assert (alice["energy_kwh"], alice["gpu_kwh"], alice["waste_kwh"]) == (144, 96, 48)
    assert alice["carbon_g"] == 48 * 900
    assert alice["share"] == pytest.approx(144 / 240)
    assert bob["uncertainty_kwh"] == pytest.approx(0.3 * 48, rel=1e-3)
    total = document["data"]["periods"][0]["total"]
    assert total["energy_kwh"] == sum(row["energy_kwh"] for row in found.values()) == 240
    assert document["data"]["periods"][0]["modelled"] == ["dram by model"]
    (factor,) = document["data"]["periods"][0]["factors"]
    assert (factor["hours"], factor["g_per_kwh_mean"], factor["pue"]) == (48, 300, 1.5)


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("group", ["researcher", "student", "_system"]),
        ("gpu", ["GPU-1"]),
        ("day", ["2026-11-01", "2026-11-02"]),
    ],
)
def test_by_something_else(host, by, names) -> None:
    host.policy("carbon: {zone: DE}\ngroups:\n  researcher: {members: [alice]}\n  student: {}\n")
    host.env["TZ"] = "UTC"
    november(host)
    document = host.json("carbon", "report", *SPAN, "--by", by)
    assert list(rows(document)) == names


def test_carbon_of_a_gpu_is_by_the_factors_of_its_hours(host) -> None:
    november(host)
    (gpu,) = rows(host.json("carbon", "report", *SPAN, "--by", "gpu")).values()
    assert gpu["carbon_g"] == pytest.approx(96 * 300 * 1.5)
    assert gpu["waste_kwh"] == 48


def test_days_are_the_hosts(host) -> None:
    host.env["TZ"] = "Asia/Kolkata"
    november(host)
    document = host.json("carbon", "report", *SPAN, "--by", "day")
    assert list(rows(document)) == ["2026-11-01", "2026-11-02", "2026-11-03"]


def test_today_and_this_month_by_default(host) -> None:
    hour = int(time.time() // 3600)
    fill(host, {(hour, "alice"): Hour(KWH, carbon_ug=G)})
    document = host.json("carbon", "report")
    assert [one["name"] for one in document["data"]["periods"]] == ["today", "this month"]
    assert all(rows(document, index)["alice"]["energy_kwh"] == 1 for index in (0, 1))
    assert "TODAY" in host.run("carbon", "report").out


def test_one_user(host) -> None:
    november(host)
    document = host.json("carbon", "report", *SPAN, "--user", "bob")
    assert list(rows(document)) == ["bob"]


def test_what_it_rests_on_is_told(host) -> None:
    host.policy("carbon: {zone: DE}\n")
    november(host)
    out = host.run("carbon", "report", *SPAN).out
    assert "48 hours at 300 g CO2e/kWh, DE, 2025 (zone: Ember), PUE 1.5" in out
    assert "idle energy by allocation" in out
    assert "modelled: dram by model; 20.0% of the energy; +- is 30% of that" in out
    assert "carbon.pue is not configured" in out


def test_the_world_is_named_while_no_zone_is_configured(host) -> None:
    host.policy("carbon: {pue: 1.2}\n")
    assert "the world's value is used" in host.run("carbon", "report").out


def test_csv(host) -> None:
    november(host)
    ran = host.run("carbon", "report", *SPAN, "--csv")
    found = list(csv.DictReader(io.StringIO(ran.out)))
    assert [row["name"] for row in found] == ["alice", "bob", "_system"]
    assert float(found[0]["energy_kwh"]) == 144
    assert "PUE" in ran.err


def test_names_that_a_spreadsheet_would_run(host) -> None:
    fill(host, {(NOVEMBER, "=cmd()"): Hour(KWH)})
    assert ",'=cmd()," in host.run("carbon", "report", *SPAN, "--csv").out


def test_money_water_and_equivalences(host) -> None:
    host.policy("carbon: {zone: DE, pue: 2, price_per_kwh: 0.5, water_l_per_kwh: 1.8}\n")
    november(host)
    total = host.json("carbon", "report", *SPAN)["data"]["periods"][0]["total"]
    assert (total["cost"], total["water_l"]) == (240, 432)
    out = host.run("carbon", "report", *SPAN, "--equivalences").out
    assert "COST EUR" in out
    assert "km by car" in out
    assert "km by car" not in host.run("carbon", "report", *SPAN).out


def test_sparklines_on_a_terminal_only(host) -> None:
    november(host)
    assert "▁" not in host.run("carbon", "report", *SPAN).out
    assert "█" in host.on_terminal("carbon", "report", *SPAN)


class Page(html.parser.HTMLParser):
    """Collects tags, addresses and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.addresses, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self.addresses += [v for name, v in attrs if name in {"src", "href"} or "http" in (v or "")]

    def handle_data(self, data) -> None:
        self.text += data


def test_html_has_a_plot_no_script_and_nothing_from_elsewhere(host) -> None:
    november(host)
    fill(host, {(NOVEMBER, EVIL): Hour(KWH), (NOVEMBER, "x\x1b[31m"): Hour(KWH)})
    file = host.root / "report.html"
    host.run("carbon", "report", *SPAN, "--html", file)
    text = file.read_text()
    page = Page(text)
    assert "script" not in page.tags
    assert EVIL in page.text
    assert "\x1b" not in text
    assert {"svg", "rect", "table"} <= set(page.tags)
    assert page.addresses == ["http://www.w3.org/2000/svg"]
    assert file.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--by", "project"), "projects are not told apart"),
        (("--by", "colour"), "is not known"),
        (("--since", "yesterdayish"), "--since 'yesterdayish'"),
        (("--since", "2026-11-02", "--until", "never"), "--until 'never'"),
        (("--since", "2026-11-02", "--until", "2026-11-01"), "is not before"),
        (("--csv", "--json"), "at once"),
    ],
)
def test_wrong_usage(host, words, told) -> None:
    ran = host.run("carbon", "report", *words)
    assert ran.status == 2
    assert told in ran.err + ran.out


@pytest.mark.parametrize("name", ["no/such/folder.html", "."])
def test_a_page_that_cannot_be_written(host, name) -> None:
    ran = host.run("carbon", "report", "--html", host.root / name)
    assert ran.status == 1
    assert "cannot be written" in ran.err or "is no file" in ran.err


def test_nothing_recorded_yet(host) -> None:
    document = host.json("carbon", "report")
    assert document["gaps"][-1]["source"] == "state"
    assert document["data"]["periods"][0]["total"] is None


# --- computing anew -----------------------------------------------------------------------------


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


def test_recompute_by_the_tables_row_of_the_year(host) -> None:
    november(host)
    data = host.json("carbon", "recompute", *SPAN, "--pue", "1")["data"]
    # the newest row that is not later
    assert data["after_g"] == pytest.approx(240 * 329.65)
    assert data["factors"][0]["year_or_at"] == "2025"


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
        (("--since", "1d", "--pue", "0.9"), 2),
        (("--since", "1d", "--intensity", "-5"), 2),
        (("--since", "1d", "--intensity", "99999"), 2),
    ],
)
def test_recompute_wrong_usage(host, words, status) -> None:
    assert host.run("carbon", "recompute", *words).status == status


def test_recompute_without_anything_stored(host) -> None:
    ran = host.run("carbon", "recompute", "--since", "1d")
    assert (ran.status, "no energy is stored" in ran.err) == (1, True)
    november(host)
    ran = host.run("carbon", "recompute", "--since", "2020-01-01", "--until", "2020-02-01")
    assert (ran.status, "nothing to compute" in ran.out) == (0, True)
