"""An edit changes the lines it is about, and not a byte besides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ds01ctl.config import edit
from ds01ctl.config.read import load_policy
from ds01ctl.errors import Ds01Error
from ds01ctl.paths import Paths
from tests.config.sample import write

if TYPE_CHECKING:
    from pathlib import Path

ROW: dict[str, str | list[str] | None] = {
    "username": "204999@uni.example",
    "category": "waiver",
    "exempt_from": ["max_runtime_h", "unmanaged-container"],
    "reason": 'a "long" job: 50 % done\n# no comment',
    "approved_by": "labadmin",
    "approved_on": "2026-02-14",
    "expires_on": "2026-06-30",
}
NEW_ROW = """\
  - username: "204999@uni.example"
    category: waiver
    exempt_from: [max_runtime_h, "unmanaged-container"]
    reason: "a \\"long\\" job: 50 % done\\n# no comment"
    approved_by: labadmin
    approved_on: "2026-02-14"
    expires_on: "2026-06-30"
"""
ONE = "  - {username: a,   exempt_from: [max_runtime_h],\n     expires_on: null}   # the first\n"


def at_column(column: int) -> str:
    return "".join(" " * column + line[2:] for line in NEW_ROW.splitlines(keepends=True))


EXEMPTIONS = [
    ("", "exemptions:\n" + NEW_ROW),
    ("# head\n", "# head\nexemptions:\n" + NEW_ROW),
    ("exemptions:\n\n# foot\n", "exemptions:\n" + NEW_ROW + "\n# foot\n"),
    ("exemptions: []   # none\n", "exemptions:\n" + NEW_ROW.rstrip() + "   # none\n"),
    ("exemptions: null\n", "exemptions:\n" + NEW_ROW),
    (
        f"# head\n\nexemptions:\n{ONE}\n\n# foot\n",
        f"# head\n\nexemptions:\n{ONE}{NEW_ROW}\n\n# foot\n",
    ),
    (
        "exemptions:\n- username: a\n  exempt_from:\n  - max_runtime_h   # c\n  # d",
        "exemptions:\n- username: a\n  exempt_from:\n  - max_runtime_h   # c\n"
        + at_column(0)
        + "  # d",
    ),
    ("exemptions:\n" + ONE.rstrip("\n"), "exemptions:\n" + ONE + NEW_ROW),
]


@pytest.mark.parametrize(("before", "after"), EXEMPTIONS)
def test_add_exemption(tmp_path: Path, before: str, after: str) -> None:
    policy = write(tmp_path, "", lifecycle_exemptions_yaml=before)
    change = edit.add_exemption(policy, ROW)
    assert change.after == after
    change.write()
    rows = load_policy(policy, Paths(tmp_path)).exemptions
    assert rows[-1].reason == ROW["reason"]
    assert rows[-1].exempt_from == ("max_runtime_h", "unmanaged-container")


def test_add_exemption_to_a_flow_list(tmp_path: Path) -> None:
    before = "exemptions: [{username: a, exempt_from: [max_runtime_h]}]  # c\n"
    policy = write(tmp_path, "", lifecycle_exemptions_yaml=before)
    change = edit.add_exemption(policy, {"username": "b", "exempt_from": ["idle_timeout_h"]})
    added = ", {username: b, exempt_from: [idle_timeout_h]}"
    assert change.after == before.replace("}]  #", "}" + added + "]  #")


def test_first_exemption_makes_the_file(tmp_path: Path) -> None:
    policy = write(tmp_path, "")
    change = edit.add_exemption(policy, ROW)
    assert not change.path.exists()
    assert change.diff.startswith("--- /dev/null\n")
    change.write()
    assert change.path.stat().st_mode & 0o777 == 0o644


def test_diff_shows_the_new_lines_only(tmp_path: Path) -> None:
    policy = write(tmp_path, "", lifecycle_exemptions_yaml=f"exemptions:\n{ONE}\n# foot\n")
    lines = edit.add_exemption(policy, ROW).diff.splitlines()[2:]
    changed = [line for line in lines if line.startswith(("+", "-"))]
    assert changed == ["+" + line for line in NEW_ROW.splitlines()]


OVERRIDES = [
    ("", "alice", "max_runtime_h", None, "alice:\n  max_runtime_h: null\n"),
    ("", "007", "aggregate.gpu_limit", 4.0, '"007":\n  aggregate:\n    gpu_limit: 4.0\n'),
    (
        "alice:   # c\n    max_cpus:  3   # d\n\nbob: {max_cpus: 1}\n",
        "alice",
        "max_cpus",
        5,
        "alice:   # c\n    max_cpus:  5   # d\n\nbob: {max_cpus: 1}\n",
    ),
    (
        "alice:   # c\n    max_cpus:  3   # d\n\n# about bob\nbob: {max_cpus: 1}\n",
        "alice",
        "memory",
        "32g",
        "alice:   # c\n    max_cpus:  3   # d\n"
        '    memory: "32g"\n\n# about bob\nbob: {max_cpus: 1}\n',
    ),
    ("bob: { max_cpus: 1 }\n", "bob", "memory", "1g", 'bob: { max_cpus: 1, memory: "1g" }\n'),
    (
        "bob: {max_cpus: 1}\n",
        "bob",
        "aggregate.gpu_limit",
        1,
        "bob: {max_cpus: 1, aggregate: {gpu_limit: 1}}\n",
    ),
    ("bob: {}\n", "bob", "max_cpus", 1, "bob: {max_cpus: 1}\n"),
    ("bob:   # soon\n", "bob", "max_cpus", 1, "bob:   # soon\n  max_cpus: 1\n"),
    ("bob:\n  max_cpus:   # c\n", "bob", "max_cpus", 1, "bob:\n  max_cpus: 1   # c\n"),
    (
        "bob:\n  aggregate:\n    tasks_max: 1\n  max_cpus: 1\n",
        "bob",
        "aggregate.gpu_limit",
        2,
        "bob:\n  aggregate:\n    tasks_max: 1\n    gpu_limit: 2\n  max_cpus: 1\n",
    ),
    (
        "bob:\n  max_cpus:\n\n# foot\n",
        "bob",
        "pids_limit",
        1,
        "bob:\n  max_cpus:\n  pids_limit: 1\n\n# foot\n",
    ),
    ("# only words", "bob", "max_cpus", 1, "# only words\nbob:\n  max_cpus: 1\n"),
]


@pytest.mark.parametrize(("before", "login", "key", "value", "after"), OVERRIDES)
def test_set_override(
    tmp_path: Path, before: str, login: str, key: str, value: float | str | None, after: str
) -> None:
    policy = write(tmp_path, "", user_overrides_yaml=before)
    change = edit.set_override(policy, login, key, value)
    assert change.after == after
    change.write()
    assert load_policy(policy, Paths(tmp_path)).limit(login, key).origin is not None


@pytest.mark.parametrize(
    "before",
    ["a: &x {max_cpus: 1}\nbob: *x\n", "bob: ~\n", "bob: {aggregate: 3}\n"],
)
def test_what_cannot_be_edited_safely_is_left_to_the_admin(tmp_path: Path, before: str) -> None:
    policy = write(tmp_path, "", user_overrides_yaml=before)
    with pytest.raises(Ds01Error, match=r"too unusual|holds no map"):
        edit.set_override(policy, "bob", "aggregate.gpu_limit", 1)


def test_mode_and_owner_are_kept_and_a_link_stays_one(tmp_path: Path) -> None:
    policy = write(tmp_path, "", user_overrides_yaml="")
    link = tmp_path / "user-overrides.yaml"
    real = link.rename(tmp_path / "real.yaml")
    link.symlink_to(real)
    real.chmod(0o640)
    edit.set_override(policy, "bob", "max_cpus", 1).write()
    assert link.is_symlink()
    assert real.read_text() == "bob:\n  max_cpus: 1\n"
    assert real.stat().st_mode & 0o7777 == 0o640


def test_a_change_by_someone_else_is_not_overwritten(tmp_path: Path) -> None:
    policy = write(tmp_path, "", user_overrides_yaml="bob: {}\n")
    change = edit.set_override(policy, "bob", "max_cpus", 1)
    (tmp_path / "user-overrides.yaml").write_text("carol: {}\n")
    with pytest.raises(Ds01Error, match="someone else"):
        change.write()
    assert (tmp_path / "user-overrides.yaml").read_text() == "carol: {}\n"


def test_a_file_with_an_error_is_not_edited(tmp_path: Path) -> None:
    policy = write(tmp_path, "", user_overrides_yaml="bob: [\n")
    with pytest.raises(Ds01Error, match="a bracket is open"):
        edit.set_override(policy, "bob", "max_cpus", 1)
