"""The config commands: what they return, and how it reads."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from ds01ctl.commands import configuring
from ds01ctl.commands.configuring import Asked
from ds01ctl.errors import Ds01Error
from ds01ctl.paths import Paths
from ds01ctl.report import config_text
from tests.config.sample import EXEMPTIONS, OVERRIDES, SAMPLE, write

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 5, 1, tzinfo=timezone.utc)


def asked(root: Path) -> Asked:
    return Asked(Paths(root), None, {}, "gpu01", NOW)


@pytest.fixture
def host(tmp_path: Path) -> Asked:
    write(
        tmp_path / "etc/ds01",
        SAMPLE,
        user_overrides_yaml=OVERRIDES,
        lifecycle_exemptions_yaml=EXEMPTIONS,
        researcher_members="204999@uni.example\n",
        admin_members="labadmin\n",
    )
    return asked(tmp_path)


def test_check(host: Asked) -> None:
    result = configuring.check(host)
    assert (result.command, result.status, result.data["warnings"]) == ("config check", "ok", [])
    assert config_text.check_lines(result) == [
        f"{host.paths.policies[0]}: no problems in 5 file(s)"
    ]


def test_check_tells_problems_and_warnings(tmp_path: Path) -> None:
    write(tmp_path / "etc/ds01", "foo: 1\nbar: 2\ndefaults: {cpus: 3}\n")
    with pytest.raises(Ds01Error) as caught:
        configuring.check(asked(tmp_path))
    lines = caught.value.message.splitlines()
    assert [line.rpartition("limits.yaml:")[2][:6] for line in lines] == [
        "1: foo",
        "2: bar",
        "3: def",
    ]
    assert lines[2].endswith("(warning)")
    assert caught.value.exit_code == 1


def test_check_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(Ds01Error, match="no policy file"):
        configuring.check(asked(tmp_path))


def test_show(host: Asked) -> None:
    keys = {row["key"]: row for row in configuring.show(host, resolved=False).data["settings"]}
    assert keys["groups.researcher.aggregate.memory_max"] == {
        "key": "groups.researcher.aggregate.memory_max",
        "value": 320 << 30,
        "unit": "bytes",
        "is_set": True,
        "null_means": None,
        "file": "resource-limits.yaml",
        "line": 31,
        "rule": "group researcher",
    }
    assert keys["user_overrides.204999@uni.example.max_runtime_h"]["null_means"] == "no limit"
    assert "detect.scans" not in keys


def test_show_resolved(tmp_path: Path) -> None:
    result = configuring.show(asked(tmp_path), resolved=True)
    keys = {row["key"]: row for row in result.data["settings"]}
    assert (keys["detect.scans"]["value"], keys["detect.scans"]["rule"]) == (2, "built-in")
    assert [(gap.source, gap.kind) for gap in result.gaps] == [("policy", "absent")]
    assert config_text.show_lines(result)[0].startswith("note: no policy file")


def test_explain(host: Asked) -> None:
    result = configuring.explain(host, "204999")
    limits = {row["key"]: row for row in result.data["limits"]}
    runtime = limits["max_runtime_h"]
    assert (runtime["value"], runtime["is_set"], runtime["rule"]) == (None, True, "user override")
    assert [(row["value"], row["rule"]) for row in runtime["instead_of"]] == [
        (48, "group researcher"),
        (24, "defaults"),
    ]
    assert (limits["max_tasks"]["value"], limits["max_tasks"]["line"]) == (32768, 15)
    assert result.data["group"]["value"] == "researcher"
    assert [row["is_valid"] for row in result.data["exemptions"]] == [True]


def test_explain_reads_well(host: Asked) -> None:
    lines = config_text.explain_lines(configuring.explain(host, "204999@uni.example"))
    assert lines[0] == (
        "user 204999@uni.example: group researcher "
        "by groups/researcher.members:1 (members of researcher)"
    )
    (runtime,) = [line for line in lines if line.startswith("max_runtime_h")]
    assert runtime.split("  ", 1)[1].strip().startswith("no limit")
    assert runtime.endswith("48 h of group researcher, 24 h of defaults")
    (tasks,) = [line for line in lines if line.startswith("pids_limit")]
    assert "resource-limits.yaml:9 (defaults)" in tasks


def test_explain_tells_unlimited_from_unset(host: Asked) -> None:
    lines = config_text.explain_lines(configuring.explain(host, "labadmin"))
    shown = {line.split()[0]: line for line in lines if line}
    assert "no limit" in shown["max_tasks"]
    assert "not set" in shown["aggregate.gpu_limit"]
    assert any("without a container" in line for line in lines)


def test_schema(tmp_path: Path) -> None:
    lines = config_text.schema_lines(configuring.schema(asked(tmp_path)))
    assert lines[0] == "{"
    assert any("2020-12" in line for line in lines)


def test_init_writes_once(tmp_path: Path) -> None:
    planned = configuring.init(asked(tmp_path), None, dry_run=True)
    assert planned.actions[0].outcome == "planned"
    assert not (tmp_path / "etc").exists()
    done = configuring.init(asked(tmp_path), None, dry_run=False)
    path = tmp_path / "etc/ds01/resource-limits.yaml"
    assert done.actions[0].outcome == "done"
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.read_text().splitlines() == config_text.init_lines(planned)
    path.write_text("# mine\n")
    with pytest.raises(Ds01Error, match="is there already"):
        configuring.init(asked(tmp_path), None, dry_run=False)
    assert path.read_text() == "# mine\n"


def test_init_does_not_put_a_policy_in_the_place_of_the_one_in_force(tmp_path: Path) -> None:
    write(tmp_path / "opt/ds01-infra/config/runtime", SAMPLE)
    with pytest.raises(Ds01Error, match="would take the place"):
        configuring.init(asked(tmp_path), None, dry_run=False)
    configuring.init(asked(tmp_path), tmp_path / "new.yaml", dry_run=False)
    assert (tmp_path / "new.yaml").exists()
