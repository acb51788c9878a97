"""Disk limits in the policy: what is read, from which line, and what is said of what is wrong."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from ds01ctl.commands import configuring
from ds01ctl.core.disk_quota import NO_LIMITS, Limits
from ds01ctl.core.policy import Origin
from ds01ctl.core.storage import ProjectWish, StorageLimit, limits_of, projects_of
from ds01ctl.report import config_text
from tests.config.sample import load, problems_of, write
from tests.config.test_commands import asked

if TYPE_CHECKING:
    from pathlib import Path

    from ds01ctl.core.policy import Policy

GIB, TIB = 1 << 30, 1 << 40
TODAY = date(2026, 11, 23)
POLICY = """\
defaults:
  storage: {/home: 50G, /data/: unlimited}
groups:
  student:
    storage:
      /home: 100G                     # soft
      /scratch: {soft: 500G, hard: 1T, inodes_soft: 2M, inodes_hard: 3000000}
user_overrides:
  alice:
    storage: {/scratch: {hard: 2T}}
quota:
  projects:
    vision:
      path: /scratch/vision/
      owner: 007
      soft: 1T
    counted: {path: /scratch/counted}
"""
OVERRIDES = """\
alice:
  storage:
    /home: {soft: 150G, until: 2026-11-23}
    /:
"""


def policy(tmp_path: Path) -> Policy:
    return load(tmp_path, POLICY, user_overrides_yaml=OVERRIDES)


def test_every_path_has_its_own_origin(tmp_path: Path) -> None:
    held = limits_of(policy(tmp_path), "alice", TODAY)
    strong = ("user-overrides.yaml", "user override")
    assert list(held.values()) == [
        StorageLimit("/", NO_LIMITS, None, Origin(strong[0], 4, strong[1])),
        StorageLimit("/data", NO_LIMITS, None, Origin("resource-limits.yaml", 2, "defaults")),
        StorageLimit("/home", Limits(150 * GIB, 165 * GIB), TODAY, Origin(strong[0], 3, strong[1])),
        StorageLimit(
            "/scratch",
            Limits(hard_bytes=2 * TIB),
            None,
            Origin("resource-limits.yaml", 10, "inline override"),
        ),
    ]


def test_past_its_last_day_an_override_gives_way(tmp_path: Path) -> None:
    held = limits_of(policy(tmp_path), "alice", date(2026, 11, 24))
    assert str(held["/home"].origin) == "resource-limits.yaml:6 (group student)"
    assert held["/home"].limits == Limits(100 * GIB, 110 * GIB)


def test_anybody_has_the_limits_of_their_group(tmp_path: Path) -> None:
    held = limits_of(policy(tmp_path), "bob", TODAY)
    assert held["/scratch"].limits == Limits(500 * GIB, TIB, 2_000_000, 3_000_000)


def test_projects(tmp_path: Path) -> None:
    file = "resource-limits.yaml"
    limits = Limits(TIB, TIB * 11 // 10 // 65536 * 65536 + 65536)
    assert projects_of(policy(tmp_path)) == (
        ProjectWish("vision", "/scratch/vision", "007", limits, Origin(file, 13, "quota.projects")),
        ProjectWish(
            "counted", "/scratch/counted", None, NO_LIMITS, Origin(file, 17, "quota.projects")
        ),
    )


def test_host_keys(tmp_path: Path) -> None:
    text = "quota: {mode: enforce, grace_d: 14, warn_percent: [95, 80, 80], remind_days: 1,"
    read = load(tmp_path, text + " project_ids: 100000 - 200000}")
    keys = ("mode", "grace_d", "warn_percent", "remind_days", "project_ids")
    assert [read.value(f"quota.{key}") for key in keys] == [
        "enforce", 14, (80, 95), 1, "100000-200000"
    ]  # fmt: skip
    built_in = load(tmp_path, "")
    assert [built_in.value(f"quota.{key}") for key in keys] == [
        "report", 7, (80, 90, 100), 7, "2000000-2999999"
    ]  # fmt: skip


def test_names_without_effect_stay_as_they_are(tmp_path: Path) -> None:
    read = load(tmp_path, "defaults: {storage_workspace: 100G, storage: {/home: 1G}}\n")
    assert [warning.key for warning in read.warnings] == ["defaults.storage_workspace"]
    assert list(limits_of(read, "x", TODAY)) == ["/home"]


def test_merges_and_aliases(tmp_path: Path) -> None:
    read = load(
        tmp_path,
        "groups:\n"
        "  student: {storage: &all {/home: &home {soft: 1G, hard: 2G}, /data: 1G}}\n"
        "  staff:\n"
        "    members: [bob]\n"
        "    storage:\n"
        "      <<: *all\n"
        "      /data: *home\n",
    )
    held = limits_of(read, "bob", TODAY)
    assert [one.limits.hard_bytes // GIB for one in held.values()] == [2, 2]
    assert [one.origin.line for one in held.values()] == [7, 2]


SIZE = "a size of 1 MiB at least, with its unit, such as 100G"
WRONG = [
    ("home: 1G", "home", "is not a folder's path; expected an absolute one"),
    ("/a/../b: 1G", "/a/../b", "is not a folder's path"),
    ("/a//b: 1G", "/a//b", "is not a folder's path"),
    ("/home: 10X", "/home", f"is '10X'; expected {SIZE}, or a map of soft, hard,"),
    ("/home: -5G", "/home", f"is '-5G'; expected {SIZE}"),
    ("/home: 100", "/home", f"is 100; expected {SIZE}"),
    ("/home: 0", "/home", f"is 0; expected {SIZE}"),
    ("/home: 80%", "/home", f"is '80%'; expected {SIZE}"),
    ("/home: 9E", "/home", f"is '9E'; expected {SIZE}"),
    ("/home: [1G]", "/home", f"is a list; expected {SIZE}"),
    ("/home: {}", "/home", "limits nothing; expected any of soft, hard, inodes_soft"),
    ("/home: {until: 2026-12-24}", "/home", "limits nothing; expected any of soft, hard"),
    ("/home: {soft: 10X}", "/home.soft", f"is '10X'; expected {SIZE}, or null: no limit"),
    ("/home: {inodes_soft: -1}", "/home.inodes_soft", "is -1; expected a whole number above 0"),
    ("/home: {inodes_hard: 2Mi}", "/home.inodes_hard", "is '2Mi'; expected a whole number above"),
    ("/home: {sfot: 1G, hard: 1G}", "/home.sfot", "unknown key; did you mean soft?"),
    ("/home: {soft: 2G, hard: 1G}", "/home.soft",
     "is above hard (soft 2 GiB, hard 1 GiB); expected hard at most"),
    ("/home: {inodes_soft: 2M, inodes_hard: 1M}", "/home.inodes_soft",
     "is above inodes_hard (soft 2M inodes, hard 1M inodes); expected inodes_hard at most"),
    ("/home: {soft: 1G, until: 2026-02-30}", "/home.until",
     "is '2026-02-30'; expected a date such as 2026-12-24, or null: for ever"),
    ("/home: {soft: 1G, until: 2026-12-24 12:00}", "/home.until", "expected a date such as"),
    ("/home: 1G, /home/: 2G", "/home/", "is here twice; see line 3"),
    ("/home: 1G, /home: 2G", "/home", "is here twice; see line 3"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "key", "said"), WRONG, ids=[row for row, *_ in WRONG])
def test_what_is_wrong(tmp_path: Path, row: str, key: str, said: str) -> None:
    (problem,) = problems_of(tmp_path, f"groups:\n  student:\n    storage: {{{row}}}\n")
    assert (problem.line, problem.key) == (3, f"groups.student.storage.{key}")
    assert problem.message.startswith(said) or said in problem.message


WRONG_PROJECTS = [
    ("7: {path: /a}", "7", "is not a name for a project; expected up to 64 letters"),
    ("'a b': {path: /a}", "a b", "is not a name for a project"),
    ("v: {soft: 1G}", "v", "has no path; expected path: /its/folder"),
    ("v: ", "v", "has no path"),
    ("v: /scratch", "v", "is '/scratch'; expected keys with values"),
    ("v: {path: a}", "v.path", "is 'a'; expected an absolute path without .. and //, not the"),
    ("v: {path: /}", "v.path", "is '/'; expected an absolute path"),
    ("v: {path: /a, owner: 'a b'}", "v.owner", "'a b' is not a login"),
    ("v: {path: /a, ownr: b}", "v.ownr", "unknown key; did you mean owner?"),
    ("v: {path: /a, soft: 2G, hard: 1G}", "v.soft", "is above hard"),
    ("v: {path: /a}, w: {path: /a/}", "w", "/a is in the tree of v, line 2; expected a folder of"),
    ("v: {path: /a/b/c}, w: {path: /a}", "v", "/a/b/c is in the tree of w, line 2"),
]


@pytest.mark.parametrize(
    ("row", "key", "said"), WRONG_PROJECTS, ids=[r for r, *_ in WRONG_PROJECTS]
)
def test_what_is_wrong_with_a_project(tmp_path: Path, row: str, key: str, said: str) -> None:
    problems = problems_of(tmp_path, f"quota:\n  projects: {{{row}}}\n")
    assert (problems[0].line, problems[0].key) == (2, f"quota.projects.{key}")
    assert said in problems[0].message


WRONG_KEYS = [
    ("grace_d: 0", "is 0; expected a number of days above 0"),
    ("grace: 7d", "unknown key; did you mean grace_d?"),
    ("warn_percent: [80, 120]", "entry 2 is 120; expected a whole number from 1 to 100"),
    ("warn_percent: 80", "is 80; expected a list of whole numbers from 1 to 100"),
    ("project_ids: 1-1000", "is '1-1000'; expected a range of 1000 ids at least, above 65536"),
    ("mode: enforced", "'enforced' is not known; did you mean enforce?"),
]


@pytest.mark.parametrize(("row", "said"), WRONG_KEYS, ids=[row for row, _ in WRONG_KEYS])
def test_what_is_wrong_with_the_hosts_keys(tmp_path: Path, row: str, said: str) -> None:
    (problem,) = problems_of(tmp_path, f"quota: {{{row}}}\n")
    assert said in problem.message


def test_all_problems_are_told_at_once_and_each_at_its_file_and_line(tmp_path: Path) -> None:
    problems = problems_of(
        tmp_path,
        "defaults:\n  storage:\n    home: 10X\n    /home:\n      soft: 2G\n      hard: 1G\n",
        user_overrides_yaml="alice:\n  storage:\n    /home: -1\n",
    )
    assert [(one.file.rpartition("/")[2], one.line, one.key) for one in problems] == [
        ("resource-limits.yaml", 3, "defaults.storage.home"),
        ("resource-limits.yaml", 3, "defaults.storage.home"),
        ("resource-limits.yaml", 5, "defaults.storage./home.soft"),
        ("user-overrides.yaml", 3, "alice.storage./home"),
    ]


def test_explain_shows_a_line_for_each_path(tmp_path: Path) -> None:
    write(tmp_path / "etc/ds01", POLICY, user_overrides_yaml=OVERRIDES.replace("2026", "2020"))
    result = configuring.explain(asked(tmp_path), "alice")
    lines = [line.split("  ") for line in config_text.explain_lines(result) if "storage" in line]
    assert [[cell.strip() for cell in line if cell.strip()] for line in lines] == [
        ["storage /", "no limit", "user-overrides.yaml:4 (user override)"],
        ["storage /data", "no limit", "resource-limits.yaml:2 (defaults)"],
        ["storage /home", "soft 100 GiB, hard 110 GiB", "resource-limits.yaml:6 (group student)",
         "soft 150 GiB, hard 165 GiB, until 2020-11-23 (past) of user override;"
         " soft 50 GiB, hard 55 GiB of defaults"],
        ["storage /scratch", "hard 2 TiB", "resource-limits.yaml:10 (inline override)",
         "soft 500 GiB, hard 1 TiB, soft 2M inodes, hard 3M inodes of group student"],
    ]  # fmt: skip
    row = next(row for row in result.data["limits"] if row["key"] == "storage /home")
    assert row["value"] == {
        "path": "/home", "soft_bytes": 100 * GIB, "hard_bytes": 110 * GIB, "soft_inodes": None,
        "hard_inodes": None, "until": None, "is_over": False,
    }  # fmt: skip


def test_explain_without_a_limit_has_one_line(tmp_path: Path) -> None:
    write(tmp_path / "etc/ds01", "")
    result = configuring.explain(asked(tmp_path), "alice")
    rows = [row for row in result.data["limits"] if row["key"].startswith("storage")]
    assert [(row["key"], row["value"], row["is_set"]) for row in rows] == [("storage", None, False)]


def test_explain_of_what_is_over_and_has_nothing_below(tmp_path: Path) -> None:
    text = "alice: {storage: {/home: {soft: 1G, until: 2020-01-01}}}"
    write(tmp_path / "etc/ds01", "", user_overrides_yaml=text)
    result = configuring.explain(asked(tmp_path), "alice")
    (line,) = (line for line in config_text.explain_lines(result) if "storage" in line)
    assert "not set" in line
    assert line.endswith("soft 1 GiB, hard 1.1 GiB, until 2020-01-01 (past) of user override")


def test_show_has_a_line_for_each_path_and_project(tmp_path: Path) -> None:
    write(tmp_path / "etc/ds01", POLICY, user_overrides_yaml=OVERRIDES)
    result = configuring.show(asked(tmp_path), resolved=True)
    shown = {
        row["key"]: config_text.shown_value(row)
        for row in result.data["settings"]
        if "storage" in row["key"] or row["key"].startswith("quota.projects")
    }
    assert shown == {
        "defaults.storage /data": "no limit",
        "defaults.storage /home": "soft 50 GiB, hard 55 GiB",
        "groups.student.storage /home": "soft 100 GiB, hard 110 GiB",
        "groups.student.storage /scratch":
            "soft 500 GiB, hard 1 TiB, soft 2M inodes, hard 3M inodes",
        "quota.projects.counted": "no limit in /scratch/counted",
        "quota.projects.vision": "soft 1 TiB, hard 1.1 TiB in /scratch/vision of 007",
        "user_overrides.alice.storage /": "no limit",
        "user_overrides.alice.storage /home": "soft 150 GiB, hard 165 GiB, until 2026-11-23",
        "user_overrides.alice.storage /scratch": "hard 2 TiB",
    }  # fmt: skip
