"""The keys of `carbon`: their values, what is wrong with others, and what misses its purpose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ds01ctl.core.carbon_keys import CARBON_SECTIONS
from ds01ctl.core.host_keys import host_keys
from ds01ctl.core.intensity import wanted_of
from ds01ctl.core.keys import user_keys
from ds01ctl.core.policy import builtin_policy
from tests.config.sample import load, problems_of

BUILT_IN = {
    "zone": None,
    "intensity_g_per_kwh": None,
    "provider": "none",
    "provider_zone": None,
    "provider_url": None,
    "token_file": None,
    "valid_m": 60,
    "pue": None,
    "idle": "allocation",
    "psys": False,
    "dram_watts_per_gib": 0.0,
    "water_l_per_kwh": None,
    "price_per_kwh": None,
    "currency": "EUR",
    "equivalences": False,
    "kwh_metric": False,
    "history_days": 1100,
    "idle_watts.cpu": None,
    "idle_watts.dram": None,
    "idle_watts.gpu": None,
    "max_watts.package": None,
    "max_watts.dram": None,
    "max_watts.gpu": None,
    "embodied.server_kg": None,
    "embodied.gpu_kg": None,
    "embodied.lifetime_h": None,
}


def test_built_in_values() -> None:
    policy = builtin_policy()
    names = {name.removeprefix("carbon.") for name in host_keys() if name.startswith("carbon.")}
    assert names == set(BUILT_IN)
    assert {name: policy.value(f"carbon.{name}") for name in BUILT_IN} == BUILT_IN
    assert len(CARBON_SECTIONS) == 4


GOOD: list[tuple[str, Any]] = [
    ("zone: DE", "DE"),
    ("zone: de", "de"),
    ("zone: NO", "NO"),  # Norway, and not the YAML of 2005's "false"
    ("zone: null", None),
    ("intensity_g_per_kwh: 0", 0),
    ("intensity_g_per_kwh: 329.65", 329.65),
    ("intensity_g_per_kwh: 3000", 3000),
    ("valid_m: 15", 15),
    ("pue: 1", 1),
    ("pue: 1.56", 1.56),
    ("pue: null", None),
    ("idle: usage", "usage"),
    ("idle: unattributed", "unattributed"),
    ("psys: yes", True),
    ("dram_watts_per_gib: 0.375", 0.375),
    ("water_l_per_kwh: 1.8", 1.8),
    ("price_per_kwh: 0.34", 0.34),
    ("currency: GBP", "GBP"),
    ("equivalences: true", True),
    ("kwh_metric: on", True),
    ("history_days: 400", 400),
]


@pytest.mark.parametrize(("text", "value"), GOOD)
def test_value(tmp_path: Path, text: str, value: object) -> None:
    policy = load(tmp_path, f"carbon:\n  {text}\n")
    setting = policy.setting(f"carbon.{text.partition(':')[0]}")
    assert (setting.value, type(setting.value)) == (value, type(value))
    assert setting.origin
    assert (setting.origin.line, setting.origin.rule) == (2, "carbon")
    assert not policy.warnings


PUE = "expected a number from 1 to 10, or null: not known: 1.0 is used"
INTENSITY = "expected a number from 0 to 3000, or null: by the provider, else by the table"
URL = "expected an address such as https://api.example.org/v1; http only to this machine itself"
BAD = [
    ("pue: 0.9", "carbon.pue", f"is 0.9; {PUE}"),
    ("pue: 0", "carbon.pue", f"is 0; {PUE}"),
    ("pue: -1.3", "carbon.pue", f"is -1.3; {PUE}"),
    ("pue: 130", "carbon.pue", f"is 130; {PUE}"),
    ("pue: .nan", "carbon.pue", "is '.nan'; expected a number from 1 to 10"),
    ("pue: 130%", "carbon.pue", "is '130%'; expected a number from 1 to 10"),
    ("intensity_g_per_kwh: -1", "carbon.intensity_g_per_kwh", f"is -1; {INTENSITY}"),
    ("intensity_g_per_kwh: 3001", "carbon.intensity_g_per_kwh", f"is 3001; {INTENSITY}"),
    ("intensity_g_per_kwh: 0.33 kg", "carbon.intensity_g_per_kwh", f"is '0.33 kg'; {INTENSITY}"),
    ("zone: germny", "carbon.zone", "'germny' is no zone of the table; did you mean DE (Germany)?"),
    ("zone: UK", "carbon.zone", "'UK' is no zone of the table; did you mean GB (United Kingdom)?"),
    ("zone: DK-DK1", "carbon.zone", "'DK-DK1' is no zone of the table"),
    ("zone: qqqqq", "carbon.zone", "'qqqqq' is no zone of the table; expected one of AT, AU, BE"),
    ("zone: [DE]", "carbon.zone", "is a list; expected a word"),
    ("provider: electricitymaps", "carbon.provider",
     "'electricitymaps' is not known; did you mean electricity-maps?"),
    ("provider: null", "carbon.provider", "is null; expected one of none, electricity-maps, neso,"),
    ("provider_url: http://api.example.org", "carbon.provider_url",
     f"is 'http://api.example.org'; {URL}"),
    ("provider_url: https://a:b@api.example.org", "carbon.provider_url",
     f"is 'https://a:b@api.example.org'; {URL}"),
    ("provider_url: file:///etc/passwd", "carbon.provider_url",
     f"is 'file:///etc/passwd'; {URL}"),
    ("token_file: token", "carbon.token_file", "is 'token'; expected an absolute path"),
    ("valid_m: 0", "carbon.valid_m", "is 0; expected a number of minutes above 0"),
    ("idle: holder", "carbon.idle", "'holder' is not known; expected one of allocation,"),
    ("history_days: 0", "carbon.history_days", "is 0; expected a number of days above 0"),
    ("dram_watts_per_gib: -1", "carbon.dram_watts_per_gib", "is -1; expected a number"),
    ("price_per_kwh: -0.1", "carbon.price_per_kwh", "is -0.1; expected a number"),
    ("embodied: {lifetime_h: 0}", "carbon.embodied.lifetime_h",
     "is 0; expected a number of hours above 0, or null: not counted"),
    ("max_watts: {gpu: 0}", "carbon.max_watts.gpu", "is 0; expected a number above 0"),
    ("idle_watts: {gpus: 50}", "carbon.idle_watts.gpus", "unknown key; did you mean gpu?"),
    ("pui: 1.3", "carbon.pui", "unknown key; did you mean pue?"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "key", "said"), BAD, ids=[row[0] for row in BAD])
def test_wrong_value(tmp_path: Path, text: str, key: str, said: str) -> None:
    (problem,) = problems_of(tmp_path, f"carbon:\n  {text}\n")
    assert (problem.line, problem.key) == (2, key)
    assert problem.message.startswith(said)


TOKEN = "  token_file: /etc/ds01/carbon-token\n"
PROVIDERS = [
    ("  provider: neso\n", []),
    ("  provider: neso\n  zone: GB\n", []),
    ("  provider: neso\n  zone: DE\n", ["carbon.zone: 'DE'; neso knows GB alone"]),
    (f"  provider: electricity-maps\n  zone: DE\n{TOKEN}", []),
    (f"  provider: electricity-maps\n  zone: DK-DK1\n{TOKEN}", []),
    (f"  provider: electricity-maps\n{TOKEN}",
     ["carbon.provider: electricity-maps has to be told the zone: set carbon.zone"]),
    ("  provider: electricity-maps\n  zone: DE\n",
     ["carbon.provider: electricity-maps wants a token: set carbon.token_file"]),
    ("  provider: electricity-maps\n  zone: DE\n  provider_url: https://proxy.uni.example/em\n",
     []),
    (f"  provider: entsoe\n  zone: de\n{TOKEN}", []),
    (f"  provider: entsoe\n  zone: DE\n  provider_zone: 10Y1001A1001A82H\n{TOKEN}", []),
    (f"  provider: entsoe\n  zone: US\n{TOKEN}", ["carbon.zone: 'US' has no code of ENTSO-E here:"
     " write it as carbon.provider_zone"]),
    (f"  provider: entsoe\n  zone: DE\n  provider_zone: Berlin\n{TOKEN}",
     ["carbon.provider_zone: 'Berlin' has no code of ENTSO-E here: write it as"
      " carbon.provider_zone"]),
    (f"  provider: watttime\n  zone: US\n  provider_zone: CAISO_NORTH\n{TOKEN}", []),
    ("  zone: campus\n  intensity_g_per_kwh: 40\n", []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), PROVIDERS)
def test_provider_and_zone(tmp_path: Path, text: str, expected: list[str]) -> None:
    problems = problems_of(tmp_path, f"carbon:\n{text}")
    assert [f"{one.key}: {one.message}" for one in problems] == expected
    assert all(problem.line for problem in problems)


WARNINGS = [
    ("  zone: DE\n  provider_url: https://a.example\n",
     "carbon.provider_url: has no effect without carbon.provider"),
    (f"  zone: DE\n{TOKEN}", "carbon.token_file: has no effect without carbon.provider"),
    ("  provider: neso\n  intensity_g_per_kwh: 200\n",
     "carbon.provider: has no effect beside carbon.intensity_g_per_kwh"),
    (f"  provider: watttime\n  zone: CAISO_NORTH\n{TOKEN}",
     "carbon.zone: 'CAISO_NORTH' is no zone of the table: while there is no figure of the"
     " provider, the world's value is used"),
    ("  zone: DE\n  embodied: {gpu_kg: 150}\n",
     "carbon.embodied.gpu_kg: has no effect without carbon.embodied.lifetime_h"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WARNINGS)
def test_what_misses_its_purpose(tmp_path: Path, text: str, expected: str) -> None:
    (warning,) = load(tmp_path, f"carbon:\n{text}").warnings
    assert f"{warning.key}: {warning.message}" == expected
    assert warning.line


def test_no_zone_is_the_world_and_says_so(tmp_path: Path) -> None:
    policy = load(tmp_path, "carbon:\n  pue: 1.3\n")
    assert wanted_of(policy.value).zone is None
    assert not policy.warnings


BUDGETS = """\
defaults: {carbon_budget_kg_per_month: 20}
groups:
  student: {members: [ann, bob]}
  staff: {members: [eve], carbon_budget_kg_per_month: null}
user_overrides:
  bob: {carbon_budget_kg_per_month: 12.5}
"""


def test_budget_is_a_limit(tmp_path: Path) -> None:
    policy = load(tmp_path, BUDGETS)
    found = {
        login: policy.limit(login, "carbon_budget_kg_per_month") for login in ("ann", "bob", "eve")
    }
    assert [found[login].value for login in found] == [20, 12.5, None]
    assert all(setting.origin for setting in found.values())
    assert "carbon_budget_kg_per_month" in user_keys()
    assert builtin_policy().limit("ann", "carbon_budget_kg_per_month").value is None


def test_budget_that_is_wrong(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, "defaults:\n  carbon_budget_kg_per_month: -1\n")
    assert problem.line == 2
    assert problem.message == "is -1; expected a number, or null: no budget"


def test_budget_of_a_group_is_no_members_limit(tmp_path: Path) -> None:
    text = BUDGETS.replace("student: {", "student: {group_carbon_budget_kg_per_month: 300, ")
    policy = load(tmp_path, text)
    setting = policy.of_group("student", "group_carbon_budget_kg_per_month")
    assert setting.value == 300
    assert setting.origin is not None
    assert setting.origin.line == 3
    assert policy.of_group("staff", "group_carbon_budget_kg_per_month").value is None
    assert policy.of_group("nobody", "group_carbon_budget_kg_per_month").value is None
    assert policy.limit("ann", "carbon_budget_kg_per_month").value == 20
    assert "group_carbon_budget_kg_per_month" not in user_keys()


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        (
            "groups:\n  student:\n    group_carbon_budget_kg_per_month: lots\n",
            3,
            "expected a number, or null: no budget",
        ),
        ("groups:\n  student:\n    group_carbon_budget_kg_per_month: -5\n", 3, "is -5"),
        (
            "defaults:\n  group_carbon_budget_kg_per_month: 5\n",
            2,
            "did you mean carbon_budget_kg_per_month?",
        ),
        (
            "user_overrides:\n  ann:\n    group_carbon_budget_kg_per_month: 5\n",
            3,
            "unknown key",
        ),
    ],
)
def test_budget_of_a_group_that_is_wrong(tmp_path: Path, text: str, line: int, told: str) -> None:
    (problem,) = problems_of(tmp_path, text)
    assert problem.line == line
    assert told in problem.message
