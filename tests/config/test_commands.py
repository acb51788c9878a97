"""The config commands: what they return, and how it reads."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from ds01ctl.commands import configuring
from ds01ctl.commands.configuring import Asked
from ds01ctl.errors import Ds01Error, UsageError
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
        f"no problems in 5 files ({host.paths.policies[0]} and beside it)"
    ]


def test_check_tells_problems_and_warnings_in_one_form(tmp_path: Path) -> None:
    """The same lines whether or not there is a problem, and rows of them for scripts."""
    path = write(tmp_path / "etc/ds01", "foo: 1\ndetect: {scans: 0}\ndefaults: {cpus: 3}\n")
    warning = f"warning: {path}:3: defaults.cpus: old name of max_cpus"
    with pytest.raises(Ds01Error) as caught:
        configuring.check(asked(tmp_path))
    _, unknown, zero, *rest = caught.value.message.splitlines()
    assert unknown.startswith(f"{path}:1: foo: unknown key; expected one of ")
    assert zero == f"{path}:2: detect.scans: is 0; expected a whole number above 0"
    assert rest == [warning, "2 problems, 1 warning in 1 file"]
    assert caught.value.exit_code == 1
    assert "problem" not in str(caught.value.hint)
    assert [(row["line"], row["key"]) for row in caught.value.data["problems"]] == [
        (1, "foo"),
        (2, "detect.scans"),
    ]
    assert caught.value.data["warnings"] == [
        {
            "file": str(path),
            "line": 3,
            "key": "defaults.cpus",
            "message": "old name of max_cpus",
        }
    ]
    path.write_text("defaults: {cpus: 3}\n")
    result = configuring.check(asked(tmp_path))
    assert config_text.check_lines(result) == [
        warning.replace(":3:", ":1:"),
        f"no problems, 1 warning in 1 file ({path})",
    ]


def test_check_without_a_file(tmp_path: Path) -> None:
    first, second = Paths(tmp_path).policies
    with pytest.raises(Ds01Error) as caught:
        configuring.check(asked(tmp_path))
    assert caught.value.message == f"no policy file: neither {first} nor {second}"


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


WHO = """\
defaults: {max_cpus: 16}
groups:
  student: {max_cpus: 16}
  researcher: {max_cpus: 48, max_runtime_h: null}
"""
NAMES = {
    "researcher_members": "bob\n1@uni.example\na.b@x\na_b@y\n",
    "student_members": "dan\n",
    "group_overrides_txt": "carol:researcher\ndan:researcher\nerin:reserchers\nbob:researcher\n",
}
SAID = [
    ("carol", "group-overrides.txt:1 names carol:researcher, but carol is not in "
     "groups/researcher.members, so it changes nothing"),
    ("carol", "no other file names carol; these are the limits of anybody unnamed"),
    ("dan", "group-overrides.txt:2 names dan:researcher, but dan is not in "
     "groups/researcher.members, so it changes nothing"),
    ("erin", "group-overrides.txt:3 names erin:reserchers, but there is no group reserchers, "
     "so it changes nothing"),
    ("nosuchuser", "no file names nosuchuser; these are the limits of anybody unnamed"),
    ("1", "1 is read as 1@uni.example"),
    ("a_b", "a_b can stand for a.b@x or a_b@y, so what holds for them does not"),
]  # fmt: skip


@pytest.mark.parametrize(("user", "said"), SAID)
def test_explain_says_what_the_files_say_of_a_login(tmp_path: Path, user: str, said: str) -> None:
    write(tmp_path / "etc/ds01", WHO, **NAMES)
    assert said in config_text.explain_lines(configuring.explain(asked(tmp_path), user))


@pytest.mark.parametrize("user", ["bob", "1@uni.example"])
def test_explain_says_nothing_in_vain_of_a_login_that_is_named(tmp_path: Path, user: str) -> None:
    write(tmp_path / "etc/ds01", WHO, **NAMES)
    lines = config_text.explain_lines(configuring.explain(asked(tmp_path), user))
    assert lines[0].startswith(f"user {user}: group researcher")
    assert lines[1] == ""


@pytest.mark.parametrize("user", ["", " ", "a b", "a/b", "bob;carol", "@x", "."])
def test_explain_refuses_what_cannot_be_a_login(tmp_path: Path, user: str) -> None:
    with pytest.raises(UsageError, match="is not a login"):
        configuring.explain(asked(tmp_path), user)


def test_explain_leaves_out_equal_values_and_explains_its_words(tmp_path: Path) -> None:
    write(tmp_path / "etc/ds01", WHO, **NAMES)
    lines = config_text.explain_lines(configuring.explain(asked(tmp_path), "dan"))
    (cpus,) = [line for line in lines if line.startswith("max_cpus")]
    assert cpus.endswith("resource-limits.yaml:3 (group student)")
    assert lines[-1] == "not set: written nowhere, so nothing is limited by it"
    lines = config_text.explain_lines(configuring.explain(asked(tmp_path), "bob"))
    (cpus,) = [line for line in lines if line.startswith("max_cpus")]
    assert cpus.endswith("(group researcher)  16 CPUs of defaults")
    assert lines[-2] == "no limit: written as null"


def test_a_table_breaks_a_long_line_before_its_source(host: Asked) -> None:
    result = configuring.explain(host, "204999@uni.example")
    narrow = config_text.explain_lines(result, width=80)
    assert max(len(line) for line in narrow[narrow.index("") :]) <= 80
    at = next(i for i, line in enumerate(narrow) if line.startswith("max_runtime_h"))
    assert narrow[at].split() == ["max_runtime_h", "no", "limit"]
    assert narrow[at + 1 : at + 3] == [
        "    user-overrides.yaml:1 (user override)",
        "    48 h of group researcher, 24 h of defaults",
    ]
    wide = config_text.explain_lines(result)
    assert sum(line.startswith(" ") for line in wide) == 0


def test_columns_are_counted_in_cells(tmp_path: Path) -> None:
    path = write(
        tmp_path / "etc/ds01", "monitoring: {infrastructure_label: 監視}\nplatform: {slice: abcd}\n"
    )
    title, *rows = config_text.show_lines(configuring.show(asked(tmp_path), resolved=False))
    assert title.split() == ["KEY", "VALUE", "FROM"]
    assert rows[0].endswith(f"監視   {path.name}:1 (monitoring)")
    assert rows[1].endswith(f"abcd   {path.name}:2 (platform)")


def test_a_long_list_shifts_its_own_row_only(tmp_path: Path) -> None:
    names = ", ".join(f"container-{number}" for number in range(40))
    text = f"monitoring: {{infrastructure_containers: [{names}]}}\nplatform: {{slice: abcd}}\n"
    write(tmp_path / "etc/ds01", text)
    lines = config_text.show_lines(configuring.show(asked(tmp_path), resolved=False))
    assert any(names in line for line in lines)
    assert any("abcd   resource-limits.yaml:2" in line for line in lines)


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


def test_init_says_which_folders_it_makes(tmp_path: Path) -> None:
    done = configuring.init(asked(tmp_path), tmp_path / "a/b/new.yaml", dry_run=False)
    assert config_text.init_lines(done)[:2] == [
        f"made the folder {tmp_path}/a",
        f"made the folder {tmp_path}/a/b",
    ]
    again = configuring.init(asked(tmp_path), tmp_path / "a/b/other.yaml", dry_run=False)
    assert len(config_text.init_lines(again)) == 1


@pytest.mark.parametrize("place", ["etc/ds01", "opt/ds01-infra/config/runtime"])
def test_init_dry_run_shows_the_example_beside_a_policy(tmp_path: Path, place: str) -> None:
    path = write(tmp_path / place, SAMPLE)
    shown = configuring.init(asked(tmp_path), None, dry_run=True)
    assert config_text.init_lines(shown)[0].startswith("# The policy of ds01ctl.")
    assert (shown.status, shown.actions[0].outcome) == ("ok", "skipped")
    assert path.read_text() == SAMPLE


def test_init_does_not_put_a_policy_in_the_place_of_the_one_in_force(tmp_path: Path) -> None:
    write(tmp_path / "opt/ds01-infra/config/runtime", SAMPLE)
    with pytest.raises(Ds01Error, match="would take the place"):
        configuring.init(asked(tmp_path), None, dry_run=False)
    configuring.init(asked(tmp_path), tmp_path / "new.yaml", dry_run=False)
    assert (tmp_path / "new.yaml").exists()
