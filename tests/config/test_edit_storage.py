"""Disk limits are set and taken away in the text, and nothing besides is touched."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from ds01ctl.config import edit
from ds01ctl.config.read import load_policy
from ds01ctl.core.disk_quota import Limits
from ds01ctl.core.storage import limits_of, projects_of
from ds01ctl.errors import Ds01Error
from ds01ctl.paths import Paths
from tests.config.sample import SAMPLE, write

if TYPE_CHECKING:
    from pathlib import Path

    from ds01ctl.core.policy import Policy

GIB = 1 << 30
TODAY = date(2026, 11, 23)
FIELDS = {"soft": "150G", "hard": "165G", "until": "2026-12-24"}
FLOW = "{soft: 150G, hard: 165G, until: 2026-12-24}"
NEW = f"  storage:\n    /home: {FLOW}\n"
BLOCK = """\
# the people
alice:   # came in 2024
  max_cpus:  3   # few
  storage:       # agreed with her
    # her home
    /home:       # the big one
      soft: 1G   # little
      # not much more
      hard: 2G
      # that was it
    # the scratch
    /scratch: 1T   # plenty

# last
bob: {max_cpus: 1}
"""


def loaded(path: Path) -> Policy:
    return load_policy(path, Paths(path.parent / "root"))


SET = [
    ("", f"alice:\n{NEW}"),
    ("# head\n", f"# head\nalice:\n{NEW}"),
    ("bob: {}", f"bob: {{}}\nalice:\n{NEW}"),
    ("alice:  # soon\n\nbob: {}\n", f"alice:  # soon\n{NEW}\nbob: {{}}\n"),
    ("alice:\n  storage:\n    # none yet\n",
     f"alice:\n  storage:\n    /home: {FLOW}\n    # none yet\n"),
    ("alice: {}\n", f"alice: {{storage: {{/home: {FLOW}}}}}\n"),
    ("alice: { max_cpus: 1 }  # c\n",
     f"alice: {{ max_cpus: 1, storage: {{/home: {FLOW}}} }}  # c\n"),
    ("alice: {storage: {/data: 1G,}}\n", f"alice: {{storage: {{/data: 1G, /home: {FLOW},}}}}\n"),
    ("alice:\n    max_cpus: 1  # c\n\n# about bob\nbob: {}\n",
     "alice:\n    max_cpus: 1  # c\n    storage:\n"
     f"      /home: {FLOW}\n\n# about bob\nbob: {{}}\n"),
    ("alice:\n  storage:\n    /home: 100G   # little\n    /data: 1G\n",
     f"alice:\n  storage:\n    /home: {FLOW}   # little\n    /data: 1G\n"),
    ("alice:\n  storage:\n    \"/home/\":  # open\n",
     f"alice:\n  storage:\n    \"/home/\": {FLOW}  # open\n"),
    ("alice:\n  storage:\n    /home: null # x\n", f"alice:\n  storage:\n    /home: {FLOW} # x\n"),
    ("alice: {storage: {/home: {soft: 1G,\n   hard: 2G}, /data: 1G}}\n",
     f"alice: {{storage: {{/home: {FLOW}, /data: 1G}}}}\n"),
    ("bob: {storage: {/home: &h {soft: 1G}}}\nalice: {storage: {/home: *h}}  # as bob\n",
     "bob: {storage: {/home: &h {soft: 1G}}}\n"
     f"alice: {{storage: {{/home: {FLOW}}}}}  # as bob\n"),
    ("bob: {max_cpus: &few 3}\nalice:\n  max_cpus: *few\n",
     f"bob: {{max_cpus: &few 3}}\nalice:\n  max_cpus: *few\n{NEW}"),
    ("bob: {max_cpus: &few 3}\nalice: {max_cpus: *few}\n",
     f"bob: {{max_cpus: &few 3}}\nalice: {{max_cpus: *few, storage: {{/home: {FLOW}}}}}\n"),
    ("bob: &bob\n  max_cpus: 3\nalice:\n  <<: *bob\n",
     f"bob: &bob\n  max_cpus: 3\nalice:\n  <<: *bob\n{NEW}"),
    (BLOCK, BLOCK.replace(
        "    /home:       # the big one\n      soft: 1G   # little\n      # not much more\n"
        "      hard: 2G\n", f"    /home: {FLOW}       # the big one\n")),
]  # fmt: skip


@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize(("before", "after"), SET, ids=range(len(SET)))
def test_set_storage(tmp_path: Path, before: str, after: str, ends: str) -> None:
    policy = write(tmp_path, "")
    overrides = tmp_path / "user-overrides.yaml"
    overrides.write_bytes(before.replace("\n", ends).encode())
    change = edit.set_storage(policy, "alice", "/home", FIELDS)
    wanted = after.replace("\n", ends if "\n" in before else "\n")
    assert change.after == wanted
    change.write()
    assert overrides.read_bytes() == wanted.encode()
    held = limits_of(loaded(policy), "alice", TODAY)["/home"]
    assert held.limits == Limits(150 * GIB, 165 * GIB)
    assert held.until == date(2026, 12, 24)
    assert edit.set_storage(policy, "alice", "/home", FIELDS).after == wanted


ODD = ["a.b@x", "1234", "007", "yes", "on", "null", "~", "1e3", "über", "-x", "&a", "!x", "x.y-z_0"]


@pytest.mark.parametrize("login", ODD)
@pytest.mark.parametrize("before", ["", "bob: {max_cpus: 1}\n", "{bob: {max_cpus: 1}}\n"])
def test_odd_logins(tmp_path: Path, login: str, before: str) -> None:
    """Whatever the login is, it is the one that is read, in lines or in one, and taken away."""
    policy = write(tmp_path, "", user_overrides_yaml=before)
    edit.set_storage(policy, login, "/home", {"soft": "1G"}).write()
    if any(sign.isalnum() for sign in login):
        assert limits_of(loaded(policy), login, TODAY)["/home"].limits.soft_bytes == GIB
        assert login in loaded(policy).overrides
    undone = edit.unset_storage(policy, login, "/home")
    assert undone
    assert undone.after == before


@pytest.mark.parametrize("login", ["#7", "with blanks", "a: b", "'q'", '"', "{x}", "a#b", "a,b"])
def test_what_is_no_login_is_still_written_as_one_word(tmp_path: Path, login: str) -> None:
    policy = write(tmp_path, "", user_overrides_yaml="# c\n")
    change = edit.set_storage(policy, login, "/home", {"soft": "1G"})
    change.write()
    undone = edit.unset_storage(policy, login, "/home")
    assert undone
    assert undone.after == "# c\n"


@pytest.mark.parametrize("path", ["/", "/a b", "/a: b", "/a #b", "/ü", "/x,y", "/{x}", "/o'neil"])
def test_odd_paths(tmp_path: Path, path: str) -> None:
    policy = write(tmp_path, "", user_overrides_yaml="alice: {storage: {}}\n")
    edit.set_storage(policy, "alice", path, {"inodes_soft": 2_000_000, "hard": None}).write()
    held = limits_of(loaded(policy), "alice", TODAY)
    assert held[path].limits == Limits(soft_inodes=2_000_000, hard_inodes=2_200_000)


def test_no_fields_are_no_limit(tmp_path: Path) -> None:
    policy = write(tmp_path, "", user_overrides_yaml="alice: {storage: {/home: 1G}}\n")
    change = edit.set_storage(policy, "alice", "/home", {})
    assert change.after == "alice: {storage: {/home: null}}\n"


UNSET = [
    (BLOCK, BLOCK.replace(
        "    /home:       # the big one\n      soft: 1G   # little\n      # not much more\n"
        "      hard: 2G\n", "")),
    ("alice:\n  storage:\n    /home: 1G\n", ""),
    ("# a\nalice:\n  storage:\n    /home: 1G\n# b\nbob: {}\n", "# a\n# b\nbob: {}\n"),
    ("alice:\n  storage:\n    /home: 1G\n  max_cpus: 1  # c\n", "alice:\n  max_cpus: 1  # c\n"),
    ("alice: {storage: {/home: 1G}, max_cpus: 1}\n", "alice: {max_cpus: 1}\n"),
    ("alice: {max_cpus: 1, storage: {/home: 1G}}\n", "alice: {max_cpus: 1}\n"),
    ("alice: {max_cpus: 1, storage: {/home: 1G}, pids_limit: 5}\n",
     "alice: {max_cpus: 1, pids_limit: 5}\n"),
    ("alice: {storage: {/data: 1G, /home/: {soft: 1G, hard: 2G}}}  # c\n",
     "alice: {storage: {/data: 1G}}  # c\n"),
    ("alice: {storage: {\n  /data: 1G,  # the data\n  /home: 1G,\n  /opt: 1G }}\n",
     "alice: {storage: {\n  /data: 1G,  # the data\n  /opt: 1G }}\n"),
    ("{alice: {storage: {/home: 1G}}}\n", "{}\n"),
    ("bob: &b {storage: {/home: 1G}}\nalice: *b\n", None),
    ("bob: {storage: &b {/home: 1G}}\nalice: {storage: *b, max_cpus: 1}\n",
     "bob: {storage: &b {/home: 1G}}\nalice: {max_cpus: 1}\n"),
    ("bob: {storage: &b {/home: 1G}}\nalice:\n  storage: *b\n  max_cpus: 1\n",
     "bob: {storage: &b {/home: 1G}}\nalice:\n  max_cpus: 1\n"),
    ("alice:\n  storage:\n    /home:\n  # c\n  max_cpus: 1", "alice:\n  # c\n  max_cpus: 1"),
]  # fmt: skip


@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize(("before", "after"), UNSET, ids=range(len(UNSET)))
def test_unset_storage(tmp_path: Path, before: str, after: str | None, ends: str) -> None:
    policy = write(tmp_path, "")
    overrides = tmp_path / "user-overrides.yaml"
    overrides.write_bytes(before.replace("\n", ends).encode())
    change = edit.unset_storage(policy, "alice", "/home")
    assert change
    if after is not None:
        assert change.after == after.replace("\n", ends)
    change.write()
    held = limits_of(loaded(policy), "alice", TODAY)
    assert "/home" not in held
    assert edit.unset_storage(policy, "alice", "/home") is None


@pytest.mark.parametrize(
    "before",
    ["", "# c\n", "bob: {}\n", "alice:\n", "alice: {storage: }\n", "alice: {storage: {/x: 1G}}\n"],
)
def test_nothing_to_unset(tmp_path: Path, before: str) -> None:
    policy = write(tmp_path, "", user_overrides_yaml=before)
    assert edit.unset_storage(policy, "alice", "/home") is None


UNUSUAL = [
    # another's limit stands in the same lines
    "bob: &b {storage: {/home: 1G, /data: 1G}}\nalice: *b\n",
    "bob: {storage: &s {/home: 1G, /data: 1G}}\nalice: {storage: *s}\n",
    "alice: {storage: {/home: &h {soft: 1G}}}\nbob: {storage: {/home: *h}}\n",
    "alice: &a\n  storage:\n    /home: 1G\nbob:\n  <<: *a\n",
    # what alice has by the merge would be hidden
    "bob: &b {storage: {/home: 1G, /data: 1G}}\nalice: {<<: *b}\n",
    "alice:\n  storage:\n    /home: |\n      1G\n    /data: 1G\n",
    "alice: {storage: {/home: 1G}}\nalice: {storage: {/data: 1G}}\n",
    "alice: 3\n",
    "- alice\n",
]


@pytest.mark.parametrize("before", UNUSUAL)
def test_what_cannot_be_set_safely_is_left_to_the_admin(tmp_path: Path, before: str) -> None:
    policy = write(tmp_path, "", user_overrides_yaml=before)
    with pytest.raises(Ds01Error, match=r"too unusual|holds no map") as caught:
        edit.set_storage(policy, "alice", "/home", FIELDS)
    assert "by hand" in str(caught.value.hint)


def test_what_comes_by_a_merge_cannot_be_unset(tmp_path: Path) -> None:
    before = "bob: &b {storage: {/home: 1G}}\nalice: {<<: *b}\n"
    policy = write(tmp_path, "", user_overrides_yaml=before)
    with pytest.raises(Ds01Error, match="too unusual"):
        edit.unset_storage(policy, "alice", "/home")


GROUPS = [
    ("groups:\n  student:\n    max_cpus: 1   # c\n  staff:\n",
     f"groups:\n  student:\n    max_cpus: 1   # c\n    storage:\n      /home: {FLOW}\n  staff:\n"),
    ("groups:\n  student:   # all\n  staff:\n",
     f"groups:\n  student:   # all\n    storage:\n      /home: {FLOW}\n  staff:\n"),
    ("groups: {student: {max_cpus: 1}}\n",
     f"groups: {{student: {{max_cpus: 1, storage: {{/home: {FLOW}}}}}}}\n"),
    ("# head\ndefault_group: student\n",
     f"# head\ndefault_group: student\ngroups:\n  student:\n    storage:\n      /home: {FLOW}\n"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), GROUPS, ids=range(len(GROUPS)))
def test_group_storage(tmp_path: Path, before: str, after: str) -> None:
    policy = write(tmp_path, before)
    change = edit.set_group_storage(policy, "student", "/home", FIELDS)
    assert change.after == after
    change.write()
    assert limits_of(loaded(policy), "x", TODAY)["/home"].limits == Limits(150 * GIB, 165 * GIB)
    undone = edit.unset_group_storage(policy, "student", "/home")
    assert undone
    undone.write()
    assert "student" in loaded(policy).groups
    assert limits_of(loaded(policy), "x", TODAY) == {}
    if "student" in before:
        assert undone.after in {before, f"{before}groups:\n  student:\n"}


def test_a_group_in_the_sample_is_changed_in_one_line(tmp_path: Path) -> None:
    policy = write(tmp_path, SAMPLE)
    change = edit.set_group_storage(policy, "researcher", "/home", {"soft": "1T"})
    lines = change.diff.splitlines()[2:]
    assert [line for line in lines if line[:1] in "+-"] == [
        "+    storage:",
        "+      /home: {soft: 1T}",
    ]
    change.write()
    undone = edit.unset_group_storage(policy, "researcher", "/home")
    assert undone
    assert undone.after == SAMPLE


PROJECT = {"path": "/scratch/vision", "owner": "a.b@x", "soft": "1T", "inodes_soft": "2M"}
AS_WRITTEN = 'vision: {path: /scratch/vision, owner: "a.b@x", soft: 1T, inodes_soft: 2M}'
PROJECTS = [
    ("", f"quota:\n  projects:\n    {AS_WRITTEN}\n", ""),
    ("quota:\n  mode: enforce   # yes\n\n# end\n",
     f"quota:\n  mode: enforce   # yes\n  projects:\n    {AS_WRITTEN}\n\n# end\n", None),
    ("quota:\n  projects:\n    # the trees\n    x: {path: /x}\n",
     f"quota:\n  projects:\n    # the trees\n    x: {{path: /x}}\n    {AS_WRITTEN}\n", None),
    ("quota:\n  projects:\n    vision:\n      path: /old\n      # old\n      hard: 1G\n"
     "    x: {path: /x}\n",
     f"quota:\n  projects:\n    {AS_WRITTEN}\n    x: {{path: /x}}\n",
     "quota:\n  projects:\n    x: {path: /x}\n"),
    ("quota: {projects: {}}\n", f"quota: {{projects: {{{AS_WRITTEN}}}}}\n", ""),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "undone"), PROJECTS, ids=range(len(PROJECTS)))
def test_projects(tmp_path: Path, before: str, after: str, undone: str | None) -> None:
    policy = write(tmp_path, before)
    change = edit.set_project(policy, "vision", PROJECT)
    assert change.after == after
    change.write()
    wish = next(one for one in projects_of(loaded(policy)) if one.name == "vision")
    assert (wish.path, wish.owner) == ("/scratch/vision", "a.b@x")
    back = edit.unset_project(policy, "vision")
    assert back
    assert back.after == (before if undone is None else undone)
    assert edit.unset_project(policy, "nobody") is None


def test_an_alias_to_itself_is_left_alone(tmp_path: Path) -> None:
    policy = write(tmp_path, "", user_overrides_yaml="bob: &b {x: *b}\n")
    with pytest.raises(Ds01Error, match="too unusual"):
        edit.set_storage(policy, "alice", "/home", FIELDS)
