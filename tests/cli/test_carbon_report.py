"""What `carbon report` and `carbon recompute` make of stored energy."""

from __future__ import annotations

import csv
import html.parser
import io
import os
import time
from datetime import datetime, timezone

import pytest

from ds01ctl.core.energy_books import Factor, GpuHour, Hour
from ds01ctl.core.energy_projects import OTHERS, party_of, project_in
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


def projects(host: CarbonHost) -> None:
    """Two users of one project, one of them in another one as well, and outside of any."""
    thesis, web = party_of("alice", "thesis"), party_of("alice", "web")
    hours = {
        (NOVEMBER, "alice"): Hour(KWH, carbon_ug=100 * G),
        (NOVEMBER, thesis): Hour(0, 0, 3 * KWH, 0, 0, KWH, 300 * G),
        (NOVEMBER, web): Hour(2 * KWH, carbon_ug=200 * G),
        (NOVEMBER, party_of("bob", "web")): Hour(4 * KWH, carbon_ug=400 * G),
        (NOVEMBER, "_system"): Hour(KWH, carbon_ug=100 * G),
    }
    fill(host, hours, {(NOVEMBER, "GPU-1", thesis): GpuHour(3 * KWH, KWH)})


def test_by_project(host) -> None:
    projects(host)
    document = host.json("carbon", "report", *SPAN, "--by", "project")
    found = {name: row["energy_kwh"] for name, row in rows(document).items()}
    assert list(found.items()) == [("web", 6), ("thesis", 3), ("_no_project", 1), ("_system", 1)]
    assert rows(document)["thesis"]["waste_kwh"] == 1
    assert rows(document)["web"]["carbon_g"] == 600
    assert document["data"]["periods"][0]["total"]["energy_kwh"] == 11


def test_projects_of_one_user(host) -> None:
    projects(host)
    document = host.json("carbon", "report", *SPAN, "--by", "project", "--user", "alice")
    found = rows(document)
    assert {name: row["energy_kwh"] for name, row in found.items()} == {
        "thesis": 3,
        "web": 2,
        "_no_project": 1,
    }
    assert found["thesis"]["share"] == pytest.approx(3 / 11)
    # the same energy, however it is told apart
    for by in ("user", "group", "day", "gpu"):
        document = host.json("carbon", "report", *SPAN, "--by", by, "--user", "alice")
        (row,) = rows(document).values()
        assert (row["energy_kwh"], row["carbon_g"]) == ((3, 300) if by == "gpu" else (6, 600))


def test_projects_in_every_form(host) -> None:
    projects(host)
    asked = ("carbon", "report", *SPAN, "--by", "project")
    lines = host.run(*asked).out.splitlines()
    assert [line.split()[0] for line in lines[:6]] == [
        "PROJECT",
        "web",
        "thesis",
        "_no_project",
        "_system",
        "all",
    ]
    found = list(csv.DictReader(io.StringIO(host.run(*asked, "--csv").out)))
    assert {row["by"] for row in found} == {"project"}
    assert [row["name"] for row in found] == ["web", "thesis", "_no_project", "_system"]
    file = host.root / "report.html"
    host.run(*asked, "--html", file)
    assert "<th>Project</th>" in file.read_text()


def test_hostile_names_of_projects(host) -> None:
    evil = project_in({"ds01.project": f"{EVIL}\x1b[2J\n=cmd()"})
    names = [party_of("alice", one) for one in (evil, OTHERS, project_in({"ds01.project": "_x"}))]
    fill(host, {(NOVEMBER, one): Hour(KWH) for one in names})
    ran = host.run("carbon", "report", *SPAN, "--by", "project")
    assert "\x1b" not in ran.out
    assert "_other_projects: what is beyond the 100 projects of a user" in ran.out
    assert "ends in ~ and eight digits" in ran.out
    assert ran.out.splitlines()[3].startswith("_other_projects")
    file = host.root / "report.html"
    host.run("carbon", "report", *SPAN, "--by", "project", "--html", file)
    assert "<script>" not in file.read_text()


def test_carbon_of_a_gpu_is_its_part_of_its_users(host) -> None:
    november(host)
    (gpu,) = rows(host.json("carbon", "report", *SPAN, "--by", "gpu")).values()
    # two of alice's three kilowatt-hours in each hour, and of her 900 g
    assert gpu["carbon_g"] == 48 * 600
    assert gpu["waste_kwh"] == 48


def test_what_was_modelled_of_a_gpu(host) -> None:
    hours = {(NOVEMBER, "alice"): Hour(KWH, 0, KWH, 0, modelled_uj=KWH, carbon_ug=G)}
    gpus = {(NOVEMBER, "GPU-1", "alice"): GpuHour(KWH, 0, KWH)}
    fill(host, hours, gpus, modelled="dram by model, gpu by power")
    document = host.json("carbon", "report", *SPAN, "--by", "gpu")
    (gpu,) = rows(document).values()
    assert (gpu["modelled_kwh"], gpu["share"]) == (1, 1)
    assert gpu["uncertainty_kwh"] == pytest.approx(0.3, rel=1e-3)
    assert document["data"]["periods"][0]["modelled"] == ["gpu by power"]


def test_a_share_is_of_everybodys_energy(host) -> None:
    november(host)
    document = host.json("carbon", "report", *SPAN, "--user", "alice")
    assert rows(document)["alice"]["share"] == pytest.approx(144 / 240)
    assert document["data"]["periods"][0]["total"]["share"] == pytest.approx(144 / 240)
    by_day = rows(host.json("carbon", "report", *SPAN, "--user", "alice", "--by", "day"))
    assert sum(row["share"] for row in by_day.values()) == pytest.approx(144 / 240)


def test_what_was_not_counted_at_all_is_told(host) -> None:
    fill(host, {(NOVEMBER, "alice"): Hour(KWH), (NOVEMBER, "bob"): Hour(0, 0, KWH)})
    for words in ((), ("--user", "bob"), ("--by", "gpu")):
        document = host.json("carbon", "report", *SPAN, *words)
        assert document["data"]["periods"][0]["not_counted"] == ["dram"]
    assert "nothing was counted of: memory;" in host.run("carbon", "report", *SPAN).out
    november(host)
    assert "nothing was counted" not in host.run("carbon", "report", *SPAN).out


def test_money_is_by_the_pue_of_its_time(host) -> None:
    host.policy("carbon: {zone: DE, pue: 1, price_per_kwh: 1}\n")
    fill(host, {(NOVEMBER, "alice"): Hour(KWH)}, pue=2.0)
    fill(host, {(NOVEMBER + 1, "alice"): Hour(KWH)}, pue=1.5)
    assert rows(host.json("carbon", "report", *SPAN))["alice"]["cost"] == 3.5


# far from what is stored: nothing is made of every hour of it
@pytest.mark.parametrize("since", ["0001-01-02", "2026-11-01T00:00Z"])
@pytest.mark.parametrize("until", ["2026-11-03T00:00Z", "9999-12-31"])
def test_a_period_of_any_length(host, since, until) -> None:
    november(host)
    ran = ("carbon", "report", "--since", since, "--until", until)
    (period,) = host.json(*ran)["data"]["periods"]
    assert period["total"]["energy_kwh"] == 240
    assert len(period["buckets"]) < 1000


@pytest.mark.parametrize(("since", "until"), [("2000-01-01", "2000-01-02"), ("2000-01-01", "1d")])
def test_a_period_before_all_that_is_stored(host, since, until) -> None:
    fill(host, {(int(time.time() // 3600), "alice"): Hour(KWH)})
    document = host.json("carbon", "report", "--since", since, "--until", until)
    assert document["data"]["periods"][0]["total"] is None


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
    # by the PUE of then, 1.5
    assert (total["cost"], total["water_l"]) == (180, 432)
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
    assert not {"Water", "Embodied", "Cost"} & set(page.text.split())


def test_html_has_every_column_that_a_terminal_has(host) -> None:
    host.policy("carbon: {zone: DE, water_l_per_kwh: 2, price_per_kwh: 0.5}\n")
    fill(host, {(NOVEMBER, "alice"): Hour(KWH, embodied_ug=50 * G)})
    file = host.root / "report.html"
    host.run("carbon", "report", *SPAN, "--html", file)
    text = file.read_text()
    for cell in ("<th>Embodied", "<td>50.0 g", "<th>Water", "<td>2.0 l", "<th>Cost, EUR"):
        assert cell in text


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o640), (0o027, 0o640), (0o077, 0o600)])
def test_a_page_has_everybodys_use_in_it(host, mask, mode) -> None:
    file = host.root / "report.html"
    old = os.umask(mask)
    try:
        host.run("carbon", "report", "--html", file)
    finally:
        os.umask(old)
    assert file.stat().st_mode & 0o777 == mode
    # who may read it is decided once
    file.chmod(0o644)
    host.run("carbon", "report", "--html", file)
    assert file.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("words", "told"),
    [
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
