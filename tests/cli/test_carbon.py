"""What `carbon sample` counts, stores and shows; and what a bad day does to it."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from ds01ctl.core.energy_books import Factor, Hour
from ds01ctl.paths import Paths
from ds01ctl.state import State
from tests.cli.carbon_host import ALICE, BOB, RANGE_UJ, WATTS, CarbonHost, J
from tests.cli.carbon_host import host as host
from tests.cli.conftest import gaps, kinds

CPU = 'ds01_energy_joules_total{basis="measured",component="cpu",user="%s"}'
NODE = 'ds01_node_energy_joules_total{basis="measured",component="cpu"}'


def counted(host: CarbonHost, cpu_j: float = 500, status: int = 0) -> dict:
    """Let energy be used and count it."""
    host.work(cpu_j, {ALICE: 3, BOB: 1}, cpu_j / 10)
    return host.json("carbon", "sample", status=status)


def totals(host: CarbonHost, table: str = "energy_totals") -> dict:
    with closing(sqlite3.connect(host.state_path)) as db:
        return {row[:-1]: row[-1] for row in db.execute(f"SELECT * FROM {table}")}


def test_the_first_run_counts_nothing(host) -> None:
    data = host.json("carbon", "sample")["data"]
    assert (data["is_first"], data["energy_joules"], data["stored"]) == (True, 0, True)
    assert {one["reason"] for one in data["counters"]} == {"first"}
    assert host.metrics()["ds01_carbon_modelled_intervals_total"] == 0


def test_users_system_and_nobody_are_what_was_measured(host) -> None:
    host.run("carbon", "sample")
    data = counted(host)["data"]
    assert sum(one["joules"] for one in data["portions"]) == pytest.approx(550)
    stored = totals(host)
    assert sum(stored.values()) == 550 * J
    assert sum(totals(host, "energy_node").values()) == 550 * J
    assert stored[ALICE, "cpu", "measured"] > 2 * stored[BOB, "cpu", "measured"]
    # 329.65 g/kWh x 1.5, to the microgram
    grams = sum(totals(host, "carbon_totals").values())
    assert grams == round(550 * J * 329.65 * 1.5 / 3.6e6)
    with closing(sqlite3.connect(host.state_path)) as db:
        hours = db.execute("SELECT sum(cpu_uj + dram_uj + gpu_uj + other_uj), sum(carbon_ug)"
                           " FROM energy_hours").fetchone()  # fmt: skip
    assert hours == (550 * J, grams)


def test_who_logs_out_is_not_charged_what_nobody_saw(host) -> None:
    """Alice did as much as Bob, and leaves; an hour of somebody's came and went meanwhile."""
    host.run("carbon", "sample")
    host.work(100, {ALICE: 0.1, BOB: 0.1})
    host.run("carbon", "sample")
    host.world.remove(f"/user.slice/user-{ALICE}.slice")
    left = {uid: host.cpu_s[uid] for uid in (ALICE, BOB)}
    host.world.group("/user.slice", int((sum(left.values()) + 3600) * 1e6), 2 << 30)
    host.world.host(int((sum(left.values()) + 3601) * 1e6), 3 << 30)
    host.world.zone("intel-rapl:0", "package-0", int((host.cpu_j + 500) * J))
    portions = host.json("carbon", "sample")["data"]["portions"]
    cpu = {one["user"]: one["joules"] for one in portions if one["component"] == "cpu"}
    assert sum(cpu.values()) == pytest.approx(500)
    assert cpu["_unattributed"] > 400
    assert 0 < cpu[ALICE] < 50


def test_what_is_above_a_limit_that_somebody_wrote_is_counted(host) -> None:
    host.policy("carbon: {zone: DE, pue: 1.5, max_watts: {package: 5, dram: 8000}}\n")
    host.run("carbon", "sample")
    host.work(300, {ALICE: 1})
    out = host.run("carbon", "sample").out
    assert "above the power limit it is said to have, and counted: 1" in out
    assert totals(host, "energy_node") == {("cpu", "measured"): 300 * J, ("dram", "measured"): 0}
    series = 'ds01_carbon_skipped_intervals_total{reason="above-limit"}'
    assert host.metrics()[series] == 1
    told = "above the power limit it is said to have, and counted: 1, since counting began"
    assert told in host.run("carbon", "check").out


def test_two_dies_with_one_counter_count_once(host) -> None:
    """Also where they do not look alike in one run, or one cannot be read."""
    (host.root / "sys/class/powercap/intel-rapl:0").rename(host.root / "gone")

    def show(first: int | str, second: int) -> float:
        host.world.zone("intel-rapl:0", "package-0-die-0", first)
        host.world.zone("intel-rapl:1", "package-0-die-1", second)
        status = 3 if first == "garbage" else 0
        return host.json("carbon", "sample", status=status)["data"]["energy_joules"]

    found = [show(1000 * J * n, 1000 * J * n + odd) for n, odd in ((1, 0), (2, 0), (3, 90 * J))]
    found += [show("garbage", 4000 * J), show(5000 * J, 5000 * J)]
    assert sum(found) == 4000


def test_metrics_are_whole_joules_and_only_what_is_stored(host) -> None:
    host.run("carbon", "sample")
    for _ in range(3):
        counted(host, 333.3)
    shown, stored = host.metrics(), totals(host)
    assert shown[CPU % ALICE] == stored[ALICE, "cpu", "measured"] // J
    assert shown[NODE] == 999
    assert shown["ds01_facility_pue_ratio"] == 1.5
    assert shown['ds01_grid_carbon_intensity_grams_per_kwh{source="table",zone="DE"}'] == 329.65


def test_a_dry_run_shows_the_interval_and_stores_nothing(host) -> None:
    host.run("carbon", "sample")
    before = host.state_path.read_bytes()
    host.work(500, {ALICE: 3})
    ran = host.run("carbon", "sample", "--dry-run")
    assert "rapl:package-0  500 J" in ran.out
    assert "nothing was stored" in ran.out
    assert host.state_path.read_bytes() == before
    assert host.json("carbon", "sample")["data"]["energy_joules"] == 500


def test_a_dry_run_on_a_fresh_host_makes_nothing(host) -> None:
    host.json("carbon", "sample", "--dry-run")
    assert not host.state_path.exists()
    assert not host.metrics_path.exists()


def test_a_counter_that_goes_round(host) -> None:
    host.cpu_j = RANGE_UJ / J - 100
    host.work(0, {})
    host.run("carbon", "sample")
    data = counted(host, 300)["data"]
    (cpu,) = [one for one in data["counters"] if one["component"] == "cpu"]
    assert (cpu["reason"], round(cpu["joules"])) == ("wrap", 300)


def test_a_reading_that_fails_is_bridged(host) -> None:
    host.run("carbon", "sample")
    file = host.root / "sys/class/powercap/intel-rapl:0/energy_uj"
    file.write_text("broken")
    host.cpu_s[ALICE] += 5
    assert gaps(host.json("carbon", "sample", status=3)) >= {("rapl", "failed")}
    data = counted(host, 400)["data"]
    (cpu,) = [one for one in data["counters"] if one["component"] == "cpu"]
    assert (cpu["reason"], cpu["joules"]) == ("bridged", 400)


# --- crashes and lost files ---------------------------------------------------------------------


def test_a_lost_store_goes_on_from_the_metrics_and_says_so(host) -> None:
    host.policy(f"carbon: {{intensity_g_per_kwh: 3000, pue: 10, {WATTS}}}\n")
    host.run("carbon", "sample")
    counted(host, 900)
    before = host.metrics()
    host.state_path.unlink()
    document = counted(host, 900, status=3)
    assert ("state", "failed") in gaps(document)
    assert document["data"]["recovered"]
    assert any(one["event_type"] == "carbon.recovered" for one in host.events())
    after = host.metrics()
    assert all(after[name] >= value for name, value in before.items() if "_total" in name)
    # budgets go on, too; what cannot is told
    month = {name: value for name, value in before.items() if "month_grams" in name}
    assert any(month.values())
    assert all(after[name] >= value for name, value in month.items())
    told = next(one["reason"] for one in document["gaps"] if one["source"] == "state")
    assert "no report has the hours that it lost" in told
    document = counted(host, 900)
    assert document["data"]["recovered"] == []
    assert host.metrics()[NODE] >= before[NODE] + 900


def test_an_older_store_counts_the_time_since_once(host) -> None:
    host.run("carbon", "sample")
    counted(host, 200)
    old = host.state_path.read_bytes()
    counted(host, 200)
    host.state_path.write_bytes(old)
    # it knows 200 J, reads 400 J more since, and the file has 400 J
    document = counted(host, 200)
    assert document["data"]["recovered"] == []
    assert host.metrics()[NODE] == 600


def test_odd_lines_in_the_metrics_are_told_and_the_store_holds(host) -> None:
    host.run("carbon", "sample")
    counted(host)
    text = host.metrics_path.read_text()
    name = NODE.partition("{")[0]
    host.metrics_path.write_text(text.replace(f"{NODE} 500", f"{NODE} 5e+99") + "rubbish")
    document = counted(host, status=3)
    assert ("metrics", "failed") in gaps(document)
    assert host.metrics()[NODE] == 1000
    assert name in host.metrics_path.read_text()
    counted(host)
    assert host.metrics()[NODE] == 1500


@pytest.mark.parametrize("text", ["", "# HELP x\n", "\0\0\0", "ds01_energy_joules_total NaN\n"])
def test_metrics_that_are_nothing_stop_nothing(host, text) -> None:
    host.run("carbon", "sample")
    counted(host)
    host.metrics_path.write_text(text)
    counted(host, status=0 if not text else 3)
    assert host.metrics()[NODE] == 1000


def test_metrics_that_cannot_be_read_are_not_written_over_while_the_store_is_new(host) -> None:
    host.metrics_path.mkdir()
    ran = host.run("carbon", "sample")
    assert ran.status == 1
    assert "totals until now are not known" in ran.err
    assert totals(host) == {}


def test_a_full_disk_loses_nothing(host) -> None:
    host.run("carbon", "sample")
    host.work(500, {ALICE: 1})
    # no file may grow: the transaction fails, and with it all of it
    limited = ("prlimit", "--fsize=4096", "--")
    ran = host.run("carbon", "sample", wrap=limited)
    assert ran.status == 1, ran.err
    before = totals(host)
    assert sum(before.values()) == 0
    assert counted(host, 100)["data"]["energy_joules"] == 610
    assert sum(totals(host).values()) == 610 * J


def test_two_at_once(host) -> None:
    host.run("carbon", "sample")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(host.root / "run/ds01/carbon.lock")],
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout
        holder.stdout.readline()
        ran = host.run("carbon", "sample")
        assert (ran.status, "another instance" in ran.err) == (5, True)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "r+")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


def test_no_reader_sees_a_counter_go_back_or_half_a_file(host) -> None:
    """Runs are killed at random points while somebody reads the file all the time."""
    host.run("carbon", "sample")
    watcher = Watcher(host.metrics_path)
    watcher.start()
    command = [sys.executable, "-m", "ds01ctl", "carbon", "sample"]
    for step in range(12):
        host.work(50, {ALICE: 1, BOB: 1})
        one = subprocess.Popen(command, env=host.env, stdout=subprocess.DEVNULL)
        time.sleep(0.05 + 0.04 * step)
        one.kill()
        one.wait()
    host.run("carbon", "sample")
    watcher.stop()
    assert watcher.problems == []
    # nothing lost, nothing twice
    assert host.metrics()[NODE] == 600


class Watcher(threading.Thread):
    """Reads the file again and again."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.problems, self.is_over = path, [], False
        self.last: dict[str, float] = {}

    def run(self) -> None:
        while not self.is_over:
            text = self.path.read_text()
            if not text.endswith("\n"):
                self.problems.append("half a file")
            lines = [line for line in text.splitlines() if line and line[0] != "#"]
            pairs = [line.rpartition(" ")[::2] for line in lines]
            found = {name: float(value) for name, value in pairs if "_total" in name}
            self.problems += [n for n, v in found.items() if v < self.last.get(n, 0)]
            self.problems += [n for n in self.last if n not in found]
            self.last = found
            time.sleep(0.002)

    def stop(self) -> None:
        self.is_over = True
        self.join()


def test_a_broken_store_stops_the_run_and_leaves_the_metrics(host) -> None:
    host.run("carbon", "sample")
    counted(host)
    text = host.metrics_path.read_text()
    host.state_path.write_bytes(b"no database" * 1000)
    ran = host.run("carbon", "sample")
    assert ran.status == 1
    assert "move it away" in ran.err
    assert host.metrics_path.read_text() == text


def test_without_a_folder_for_metrics_energy_is_counted(host) -> None:
    host.metrics_path.parent.rmdir()
    host.run("carbon", "sample")
    document = counted(host)
    assert ("metrics", "absent") in gaps(document)
    assert sum(totals(host).values()) == 550 * J


def test_rows_that_make_no_sense_are_told_and_begin_anew(host) -> None:
    host.run("carbon", "sample")
    with closing(sqlite3.connect(host.state_path)) as db:
        db.execute("UPDATE energy_raw SET row = '[1, 2]' WHERE name LIKE 'counter %package%'")
        db.execute("UPDATE energy_raw SET row = '{}' WHERE name IN ('memory', 'pending')")
        db.commit()
    document = counted(host, 500, status=3)
    assert ("state", "failed") in gaps(document)
    assert document["data"]["energy_joules"] == 50
    assert counted(host, 500)["data"]["energy_joules"] == 550


# --- budgets ------------------------------------------------------------------------------------


def test_a_budget_is_told_once_and_stops_nothing(host) -> None:
    host.policy(f"carbon: {{zone: DE, {WATTS}}}\nuser_overrides:\n"
                f'  "{ALICE}": {{carbon_budget_kg_per_month: 0.00002}}\n')  # fmt: skip
    host.run("carbon", "sample")
    document = counted(host)
    assert kinds(document) == {"carbon-budget"}
    document = counted(host)
    assert kinds(document) == {"carbon-budget"}
    told = [one for one in host.events() if one["event_type"] == "carbon.budget_warning"]
    assert [one["details"]["level_percent"] for one in told] == [100]
    shown = host.metrics()
    assert shown[f'ds01_carbon_budget_grams{{user="{ALICE}"}}'] == 0.02
    assert f'ds01_carbon_budget_grams{{user="{BOB}"}}' not in shown


def test_a_groups_budget_is_for_all_its_members_together(host) -> None:
    def policy(*members: str, more: str = "") -> None:
        listed = ", ".join(f'"{one}"' for one in members)
        host.policy(f"carbon: {{zone: DE, {WATTS}}}\ndefault_group: others\ngroups:\n"
                    f"  lab: {{group_carbon_budget_kg_per_month: 0.00003, members: [{listed}]}}\n"
                    f"  others: {{{more}}}\n")  # fmt: skip

    policy(ALICE, BOB)
    host.run("carbon", "sample")
    for _ in range(2):
        document = counted(host)
    (finding,) = document["findings"]
    assert (finding["kind"], finding["user"]) == ("carbon-budget", None)
    assert finding["subject"]["group"] == "lab"
    assert finding["evidence"][0].startswith("group lab: ")
    told = [one for one in host.events() if one["event_type"] == "carbon.budget_warning"]
    assert [(one["details"]["group"], one["details"]["level_percent"]) for one in told] == [
        ("lab", 100)
    ]
    shown = host.metrics()
    assert shown['ds01_carbon_group_budget_grams{group="lab"}'] == pytest.approx(0.03)
    assert 'ds01_carbon_group_budget_grams{group="others"}' not in shown
    (lab,) = host.json("carbon", "report")["data"]["budgets"]
    assert (lab["kind"], lab["name"], lab["budget_g"]) == ("group", "lab", pytest.approx(0.03))
    grams = {row["name"]: row["carbon_g"] for row in month_rows(host)}
    assert lab["carbon_g"] == pytest.approx(grams[ALICE] + grams[BOB])
    out = host.run("carbon", "report").out
    assert "warning carbon-budget: group lab: " in out
    assert "budget of group" not in out
    # who is asked for alone is no group
    assert host.json("carbon", "report", "--user", ALICE)["data"]["budgets"] == []

    # bob goes, and takes his month along, which is a small part of the others'
    policy(ALICE, more="group_carbon_budget_kg_per_month: 1")
    found = {
        row["name"]: row["carbon_g"] for row in host.json("carbon", "report")["data"]["budgets"]
    }
    assert found == {"lab": pytest.approx(grams[ALICE]), "others": pytest.approx(grams[BOB])}
    assert "budget of group others: " in host.run("carbon", "report").out


def month_rows(host) -> list[dict]:
    return host.json("carbon", "report")["data"]["periods"][-1]["rows"]


def test_hours_past_keeping_are_forgotten_and_totals_stay(host) -> None:
    host.policy(f"carbon: {{zone: DE, {WATTS}, history_days: 30}}\n")
    host.run("carbon", "sample")
    counted(host)
    now = int(time.time() // 3600)
    # each twelfth hour, 65 of them, up to 30 days ago; then all hours but a few
    fill(host, [now - 1500 + 12 * i for i in range(65)] + [now - 720 + i for i in range(715)])
    counted(host)
    # 720 hours stay, whatever their age: a clock that is wrong takes no more than that
    assert hours(host)[0] in {now - 720 - 12 * 4, now - 720 - 12 * 3}
    assert len(hours(host)) == 720
    assert sum(totals(host).values()) == 1100 * J


def test_a_clock_that_is_years_ahead_forgets_nothing(host) -> None:
    host.policy(f"carbon: {{zone: DE, {WATTS}, history_days: 30}}\n")
    now = int(time.time() // 3600) - 5 * 8760
    # to the store it is all the same whether the clock was right then, or is now
    fill(host, [now - i for i in range(100)])
    host.run("carbon", "sample")
    counted(host)
    assert len(hours(host)) >= 101


def fill(host: CarbonHost, found: list[int]) -> None:
    """Store hours, each with a factor."""
    about = Factor("DE", 300.0, "zone: Ember", "2025", 1.5, "usage")
    with State.open_for_recording(Paths(host.root)) as state, state.transaction():
        state.add_energy_hours({(hour, ALICE): Hour(J) for hour in found})
        state.put_energy_factors(dict.fromkeys(found, about))
        state.put_energy_marks({"forgotten-before": None})


def hours(host: CarbonHost) -> list[int]:
    with closing(sqlite3.connect(host.state_path)) as db:
        return [row[0] for row in db.execute("SELECT DISTINCT hour FROM energy_hours ORDER BY 1")]


def test_an_hour_is_told_by_all_its_intervals(host) -> None:
    policy = f"carbon: {{pue: 1, {WATTS}, intensity_g_per_kwh: %d, zone: %s}}\n"
    host.policy(policy % (800, "DE"))
    host.run("carbon", "sample")
    counted(host, 600)
    host.policy(policy % (100, "FR"))
    counted(host, 200)
    (period,) = host.json("carbon", "report", "--since", "3h")["data"]["periods"]
    (factor,) = period["factors"] if len(hours(host)) == 1 else [period["factors"][0]]
    # 660 J at 800 and 220 J at 100, unless the clock struck between
    assert factor["g_per_kwh_mean"] == pytest.approx(625) or factor["hours"] == 1 < len(hours(host))
    assert period["total"]["carbon_g"] == pytest.approx((0.66 * 800 + 0.22 * 100) / 3600, abs=1e-5)


def test_what_was_modelled_in_an_hour_stays_told(host) -> None:
    host.run("carbon", "sample")
    with State.open_for_recording(Paths(host.root)) as state, state.transaction():
        hour = int(time.time() // 3600)
        about = Factor("DE", 329.65, "zone: x", "2025", 1.5, "usage", "cpu by implausible")
        state.put_energy_factors({hour: about, hour + 1: about})
    counted(host)
    (period,) = host.json("carbon", "report", "--since", "3h")["data"]["periods"]
    assert "cpu by implausible" in period["modelled"]


@pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool")
def test_promtool_finds_nothing(host) -> None:
    host.policy("carbon: {zone: DE, kwh_metric: true}\ndefaults: {carbon_budget_kg_per_month: 1}\n"
                "groups: {student: {group_carbon_budget_kg_per_month: 9}}\n")  # fmt: skip
    host.run("carbon", "sample")
    counted(host)
    text = host.metrics_path.read_bytes()
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True,
                          check=False)  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
