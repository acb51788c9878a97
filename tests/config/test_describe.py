"""The schema, the example and the reference come from the table, and agree with the reader."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from ds01ctl.config import describe
from ds01ctl.config.blocks import OF_MAPS
from ds01ctl.config.values import EXPECTED, READERS
from ds01ctl.core.host_keys import HOST_SECTIONS, host_keys
from ds01ctl.core.keys import AGGREGATE, CONTAINER_TYPE, LIMITS
from ds01ctl.core.policy import builtin_policy
from ds01ctl.core.storage_keys import PROJECT, STORAGE_LIMIT
from tests.config.sample import SAMPLE, load, problems_of


def data_of(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


@cache
def validator() -> jsonschema.Draft202012Validator:
    schema = describe.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_sample_is_valid() -> None:
    validator().validate(data_of(SAMPLE))


ACCEPTED = [
    "defaults: {max_runtime: 24h, sigterm: 1}\n".replace(", sigterm: 1", ""),
    "policies: {sigterm_grace_seconds: 45}",
    "policies: {grace_period: 30m}",
    "enforcement: {aggregate_limits: yes}",
    "gpu_allocation:",
    "groups: {a: {members: [1, b], aggregate: {memory_max: 80%, cpu_quota: infinity}}}",
    "defaults: {max_cpus: unlimited, memory: 1.5g}",
    "monitoring: {infrastructure_containers: }",
    "require: [nvml]",
    "groups: {a: {login: {cpu_weight: 10000, allowed_cpus: '0-15,32', io_weight: null}}}",
    "groups: {a: {login: {allowed_cpus: 0}, aggregate: {allowed_cpus: 0 1 2}}}",
    "groups: {a: {aggregate: {memory_swap_max: 0}, login: {memory_swap_max: max}}}",
    "groups: {a: {aggregate: {io_read_bandwidth_max: /dev/sda 1.5G, io_read_iops_max: []}}}",
    "user_overrides: {a: {login: {io_write_iops_max: [/ 20K, /scratch 10]}}}",
    "groups: {a: {aggregate: {managed_oom_memory_pressure_limit: 60.25%, managed_oom_swap: kill}}}",
    "enforcement: {mode: enforce, rules: {logins: null, io: report}, unowned_containers: hold}",
    "defaults: {storage: {/home: 100G, /: null, /a: unlimited, '/b c': 1.5 TiB}}",
    "groups: {a: {storage: {/s: {soft: 5G, hard: 1T, inodes_soft: 2M, inodes_hard: 3000000}}}}",
    "user_overrides: {a: {storage: {/s: {hard: null, inodes_soft: 1.5k, until: '2026-12-24'}}}}",
    "defaults: {storage: }",
    "quota: {mode: enforce, grace_d: 0.5, warn_percent: [90], remind_days: 30}",
    "quota: {project_ids: 70000-80000, projects: {v-1.a: {path: /s/v, owner: 7, hard: 1T}}}",
    "quota: {warn_percent: , projects: }",
]
REFUSED = [
    "foo: 1",
    "defaults: {max_cpus: '3'}",
    "defaults: {max_cpus: 0}",
    "defaults: {max_runtime: 48}",
    "defaults: {memory: 32x}",
    "groups: {a: {aggregate: {cpu_quota: 9600}}}",
    "require: [nvmll]",
    "detect: {scans: 0}",
    "policies: {high_demand_threshold: 2}",
    "nvml: {timeout_s: null}",
    "groups: {a: {login: {gpu_limit: 1}}}",
    "defaults: {login: {cpu_weight: 1}}",
    "groups: {a: {aggregate: {cpu_weight: 0}}}",
    "groups: {a: {aggregate: {io_weight: 10001}}}",
    "groups: {a: {aggregate: {allowed_cpus: all}}}",
    "groups: {a: {aggregate: {memory_swap_max: 50%}}}",
    "groups: {a: {aggregate: {io_read_bandwidth_max: [/dev/sda 100MB]}}}",
    "groups: {a: {aggregate: {io_read_bandwidth_max: 100M}}}",
    "groups: {a: {aggregate: {managed_oom_memory_pressure_limit: 60}}}",
    "groups: {a: {aggregate: {managed_oom_swap: null}}}",
    "enforcement: {mode: null}",
    "enforcement: {rules: {io: unlimited}}",
    "defaults: {storage: {home: 1G}}",
    "defaults: {storage: {/home: 10X}}",
    "defaults: {storage: {/home: 100}}",
    "defaults: {storage: {/home: {}}}",
    "defaults: {storage: {/home: {sfot: 1G}}}",
    "defaults: {storage: {/home: {inodes_soft: 2Mi}}}",
    "defaults: {storage: {/home: {inodes_soft: 0}}}",
    "defaults: {storage: {/home: {soft: 1G, until: tomorrow}}}",
    "defaults: {storage: [/home]}",
    "quota: {warn_percent: [0]}",
    "quota: {warn_percent: [101]}",
    "quota: {project_ids: all}",
    "quota: {grace_d: 7d}",
    "quota: {projects: {v: {soft: 1G}}}",
    "quota: {projects: {-v: {path: /v}}}",
    "quota: {projects: {v: {path: /}}}",
]


@pytest.mark.parametrize("text", ACCEPTED)
def test_schema_and_reader_accept(tmp_path: Path, text: str) -> None:
    validator().validate(data_of(text))
    load(tmp_path, text)


@pytest.mark.parametrize("text", REFUSED)
def test_schema_and_reader_refuse(tmp_path: Path, text: str) -> None:
    assert not validator().is_valid(data_of(text))
    assert problems_of(tmp_path, text)


def test_example_sets_nothing(tmp_path: Path) -> None:
    policy = load(tmp_path, describe.example())
    assert (policy.host, policy.defaults, policy.groups) == ({}, {}, {})
    assert [warning.message for warning in policy.warnings] == ["sets nothing: every limit is off"]


def test_example_is_right_when_all_of_it_is_set(tmp_path: Path) -> None:
    lines = describe.example().splitlines()
    bare = [re.sub(r"^(\s*)# ( *[\w-]+:)", r"\1\2", line) for line in lines]
    policy = load(tmp_path, "\n".join(bare))
    assert policy.warnings == ()
    wanted = {name for name, key in host_keys().items() if key.effect}
    assert wanted <= set(policy.host)
    assert {key.name for key in LIMITS if key.effect} == set(policy.defaults)
    assert policy.limit("x", "aggregate.gpu_limit").value == 2.0
    wanted = {f"aggregate.{key.name}" for key in AGGREGATE}
    assert wanted == {name for name in policy.groups["student"] if "." in name}


def test_reference_is_what_the_table_says() -> None:
    page = Path(__file__).parents[2] / "docs/reference/policy.md"
    assert page.read_text() == describe.reference(), (
        "run: python -m ds01ctl.config.describe > docs/reference/policy.md"
    )


def test_reference_has_each_key_of_aggregate_once() -> None:
    """The keys of login are the same, and are not listed again."""
    page = describe.reference()
    for key in AGGREGATE:
        assert page.count(f"| `{key.name}` |") == 1
    assert "## groups.NAME.login" in page
    assert page.count("`resource-limits`") == 2


def test_every_kind_is_read_and_described() -> None:
    tables = (*HOST_SECTIONS.values(), LIMITS, AGGREGATE, CONTAINER_TYPE, STORAGE_LIMIT, PROJECT)
    kinds = {key.kind for keys in tables for key in keys}
    assert kinds <= {*READERS, *OF_MAPS}
    assert kinds - {"choice", "choices"} <= set(EXPECTED)


def test_built_in_values_pass_their_own_check(tmp_path: Path) -> None:
    for name, key in host_keys().items():
        if key.default is None:
            continue
        *sections, last = name.split(".")
        text = f"{last}: {describe.shown_value(key._replace(example=None))}"
        for section in reversed(sections):
            text = f"{section}: {{{text}}}"
        assert load(tmp_path, text).value(name) == builtin_policy().value(name)
