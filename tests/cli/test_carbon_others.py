"""`carbon estimate`, `carbon check` and `carbon intensity`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone

import pytest

from ds01ctl.unitfiles.files import DEFAULT, render
from tests.cli.carbon_host import WATTS, CarbonHost
from tests.cli.carbon_host import host as host
from tests.cli.conftest import gaps, kinds
from tests.observe.stub_grid import Answer, Stub

# --- estimate -----------------------------------------------------------------------------------


def test_estimate_is_the_published_formula(host) -> None:
    words = ["--hours", "12", "--cores", "12", "--memory-gb", "64", "--pue", "1.67", "--zone", "GB"]
    data = host.json("carbon", "estimate", *words)["data"]
    kwh = 12 * (12 * 12.0 + 64 * 0.3725) * 1.67 / 1000
    assert data["energy_kwh"] == pytest.approx(kwh)
    assert data["carbon_g"] == pytest.approx(kwh * 217.41)


def test_estimate_of_gpus(host) -> None:
    words = ["--gpu", "NVIDIA A100-SXM4-80GB", "--gpus", "2", "--hours", "48", "--usage", "0.5"]
    data = host.json("carbon", "estimate", *words, "--repeat", "3")["data"]
    assert data["energy_kwh"] == pytest.approx(48 * 2 * 400 * 0.5 * 1.5 * 3 / 1000)
    assert data["pue_source"] == "carbon.pue"
    out = host.run("carbon", "estimate", *words, "--equivalences").out
    assert "2 GPUs" in out
    assert "km by car" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--hours", "1"], "nothing to compute on"),
        (["--hours", "-1", "--cores", "1"], "--hours"),
        (["--hours", "nan", "--cores", "1"], "hours is nan"),
        (["--hours", "inf", "--cores", "1"], "hours is inf"),
        (["--hours", "1", "--cores", "1", "--usage", "nan"], "core_usage is nan"),
        (["--hours", "1", "--cores", "1", "--pue", "nan"], "pue is nan"),
        (["--hours", "1", "--cores", "1", "--repeat", "inf"], "psf is inf"),
        (["--hours", "1e308", "--cores", "1e10"], "so much energy is no number"),
        (["--hours", "1e307", "--memory-gb", "1e3"], "so much energy is no number"),
        (["--hours", "1", "--gpu", "A101"], "did you mean"),
        (["--hours", "1", "--cores", "1", "--zone", "Germny"], "did you mean DE"),
        (["--hours", "1", "--cores", "1", "--usage", "2"], "--usage"),
        (["--hours", "1", "--cores", "1", "--pue", "0.5"], "--pue"),
    ],
)
def test_estimate_wrong_usage(host, words, told) -> None:
    ran = host.run("carbon", "estimate", *words)
    assert ran.status == 2
    assert told in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("words", [["--intensity", "nan"], ["--pue", "nan"], ["--pue", "inf"],
                                   ["--intensity", "1e999"], ["--intensity", "-nan"]])  # fmt: skip
def test_recompute_with_what_is_no_number(host, words) -> None:
    ran = host.run("carbon", "recompute", "--since", "2026-11-01", *words, "--dry-run")
    assert ran.status == 2
    assert words[0] in ran.err
    assert "Traceback" not in ran.err


# --- check --------------------------------------------------------------------------------------


def test_check_knows_when_a_counter_goes_round(host) -> None:
    host.policy("carbon: {zone: DE}\n")
    document = host.json("carbon", "check")
    (cpu,) = [one for one in document["data"]["counters"] if one["component"] == "cpu"]
    # 65,532 J at 1000 W and a margin of 5 %
    assert (round(cpu["wrap_s"]), cpu["is_in_time"], cpu["is_max_known"]) == (62, True, False)
    # in time, as long as no run is late
    assert kinds(document) == {"carbon-no-timer", "carbon-period-too-long"}
    host.policy("carbon: {zone: DE}\njobs: {carbon: {schedule: 5min}}\n")
    document = host.json("carbon", "check")
    assert "carbon-period-too-long" in kinds(document)
    host.policy("carbon: {zone: DE, max_watts: {package: 150, dram: 30}}\n"
                "jobs: {carbon: {schedule: 5min}}\n")  # fmt: skip
    assert "carbon-period-too-long" in kinds(host.json("carbon", "check"))
    host.policy("carbon: {zone: DE, max_watts: {package: 100, dram: 30}}\n"
                "jobs: {carbon: {schedule: 5min}}\n")  # fmt: skip
    assert "carbon-period-too-long" not in kinds(host.json("carbon", "check"))


@pytest.mark.parametrize(
    ("schedule", "watts", "told", "do"),
    [
        ("60s", None, "in 62 s at 1000 W, which is assumed, and is read every 60 s, and one run",
         "say in carbon.max_watts.package what it can draw at most; or set jobs.carbon.schedule"),
        ("2min", 400, "in 156 s at 400 W, which is the limit, and is read every 120 s, and one run",
         "set jobs.carbon.schedule to at most 78s; or, if it is less, say in carbon.max_watts"),
        ("3min", 400, "in 156 s at 400 W, which is the limit, and is read every 180 s: what",
         "set jobs.carbon.schedule to at most 78s; or"),
        ("60s", 400, None, None),
    ],
)  # fmt: skip
def test_check_wants_room_for_a_late_run(host, schedule, watts, told, do) -> None:
    """Twice the period has to fit into the time in which a counter goes round."""
    limits = f", max_watts: {{package: {watts}}}" if watts else ""
    host.policy(f"carbon: {{zone: DE{limits}}}\njobs: {{carbon: {{schedule: {schedule}}}}}\n")
    found = host.json("carbon", "check")["findings"]
    late = [one["evidence"] for one in found if one["kind"] == "carbon-period-too-long"
            and one["subject"]["name"].startswith("rapl:package")]  # fmt: skip
    if told is None:
        assert late == []
        return
    ((evidence, hint),) = late
    assert told in evidence
    assert do in hint


def test_check_knows_when_the_platforms_counter_goes_round(host) -> None:
    host.policy("carbon: {zone: DE, psys: true}\njobs: {carbon: {schedule: 5min}}\n")
    host.world.zone("intel-rapl:1", "psys", 5)
    findings = host.json("carbon", "check")["findings"]
    told = {one["subject"]["name"]: one["evidence"] for one in findings}
    assert told["rapl:psys"][1].startswith("set jobs.carbon.schedule to at most")


def test_check_looks_for_the_timer(host) -> None:
    host.policy("carbon: {zone: DE, max_watts: {package: 400, dram: 100}}\n")
    folder = host.root / "etc/systemd/system"
    (folder / "ds01.target.wants").mkdir(parents=True)
    (folder / "ds01-carbon.timer").write_text("[Timer]\n")
    assert "carbon-no-timer" in kinds(host.json("carbon", "check"))
    (folder / "ds01.target.wants/ds01-carbon.timer").symlink_to(folder / "ds01-carbon.timer")
    assert kinds(host.json("carbon", "check")) == set()
    assert host.run("carbon", "check", "--exit-code").status == 0


def test_check_without_any_counter(host) -> None:
    (host.root / "sys/class/powercap").rename(host.root / "gone")
    document = host.json("carbon", "check")
    assert "carbon-not-measured" in kinds(document)
    assert ("rapl", "absent") in gaps(document)
    assert host.run("carbon", "check", "--exit-code").status == 4


def test_check_tells_of_a_token_that_others_may_read(host) -> None:
    host.policy("carbon: {zone: DE, provider: electricity-maps, token_file: /etc/ds01/token}\n")
    token = host.root / "etc/ds01/token"
    token.write_text("secret-secret\n")
    token.chmod(0o644)
    document = host.json("carbon", "check")
    assert "carbon-token-exposed" in kinds(document)
    assert "secret-secret" not in json.dumps(document)
    token.chmod(0o600)
    assert "carbon-token-exposed" not in kinds(host.json("carbon", "check"))


# --- intensity ----------------------------------------------------------------------------------


def test_the_chain(host) -> None:
    host.policy("carbon: {zone: DE, intensity_g_per_kwh: 50}\n")
    data = host.json("carbon", "intensity")["data"]
    assert [one["level"] for one in data["chain"]] == ["configured", "zone", "world"]
    assert data["chosen"]["g_per_kwh"] == 50
    out = host.run("carbon", "intensity").out
    assert out.index("counts: 50 g") < out.index("then: 329.6 g") < out.index("then: 458.3 g")


def test_fetch_without_a_provider(host) -> None:
    data = host.json("carbon", "intensity", "--fetch")["data"]
    assert (data["asked"], len(data["provider_notes"])) == (False, 1)
    assert not host.state_path.exists()


@pytest.fixture
def stub(tmp_path) -> Iterator[Stub]:
    found = Stub(tmp_path)
    yield found
    found.stop()


def neso(value: object) -> Answer:
    now = datetime.now(timezone.utc)
    times = {"from": f"{now:%Y-%m-%dT%H:00Z}", "to": f"{now:%Y-%m-%dT%H:%MZ}"}
    row = {**times, "intensity": {"forecast": 210, "actual": value, "index": "moderate"}}
    return Answer(json.dumps({"data": [row]}))


def provided(host: CarbonHost, stub: Stub) -> None:
    host.policy(
        f"carbon: {{zone: GB, pue: 1.0, {WATTS}, provider: neso, provider_url: {stub.url}}}\n"
    )


def test_fetch_stores_and_the_sample_takes_it(host, stub) -> None:
    provided(host, stub)
    stub.answer({"*": neso(123)})
    data = host.json("carbon", "intensity", "--fetch")["data"]
    assert (data["asked"], data["chosen"]["level"], data["chosen"]["g_per_kwh"]) == (
        True,
        "live",
        123,
    )
    host.run("carbon", "sample")
    host.work(500, {"61001": 1})
    factors = host.json("carbon", "sample")["data"]["factors"]
    assert (factors["level"], factors["g_per_kwh"]) == ("live", 123)
    name = "GB Carbon Intensity API (NESO)"
    label = f'ds01_grid_carbon_intensity_grams_per_kwh{{source="{name}",zone="GB"}}'
    assert host.metrics()[label] == 123
    out = host.run("carbon", "report").out
    assert "at 123 g CO2e/kWh, GB" in out
    assert name in out


@pytest.mark.parametrize(
    "answer",
    [Answer("", 503), Answer("{}"), Answer("no json"), neso(-5), neso(1e9), Answer(manner="cut")],
)
def test_a_provider_that_is_of_no_use(host, stub, answer) -> None:
    provided(host, stub)
    stub.answer({"*": answer})
    document = host.json("carbon", "intensity", "--fetch", status=3)
    assert ("grid", "failed") in gaps(document)
    assert document["data"]["chosen"]["level"] == "zone"
    assert document["data"]["failures"] == 1
    asked = len(stub.asked())
    # it is left alone for a while
    document = host.json("carbon", "intensity", "--fetch")
    assert (document["data"]["asked"], len(stub.asked())) == (False, asked)
    # and energy is counted all the same
    host.run("carbon", "sample")
    host.work(500, {"61001": 1})
    assert host.json("carbon", "sample")["data"]["energy_joules"] == 500


def test_the_token_is_handed_to_the_service() -> None:
    site = DEFAULT._replace(grid_secret="/etc/ds01/grid 100%.token")
    texts = {file.name: file.text for file in render(site)}
    line = "LoadCredential=carbon-token:/etc/ds01/grid 100%%.token"
    assert line in texts["ds01-carbon-intensity.service"]
    assert "LoadCredential" not in texts["ds01-carbon.service"]
