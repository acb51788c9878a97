"""The registry of projects: what is read, what is kept, which id is chosen, what is wrong."""

from __future__ import annotations

import pytest

from ds01ctl.core import projects
from ds01ctl.core.project_findings import KINDS, Stray, TreeState, View, decide
from ds01ctl.core.projects import DockerIds, Texts, Tree, next_id, overlapping, parse
from ds01ctl.core.volume_owner import Owner, judge, owner_of, project_name

OURS = range(2_000_000, 3_000_000)


# --- reading --------------------------------------------------------------------------------------


def test_what_is_read() -> None:
    found = parse(
        Texts(
            "# comment\n\n10:/srv/a\n10:/srv/b:c\n  11 :/srv/\udcff\n",
            "one:10\n@x y#\\z:11\n# ds01ctl owner:one:alice\n",
        )
    )
    assert found.trees == (
        Tree(10, "/srv/a", 3),
        Tree(10, "/srv/b:c", 4),
        Tree(11, "/srv/\udcff", 5),
    )
    assert found.id_of("one") == 10
    assert found.id_of("@x y#\\z") == 11
    assert found.name_of(11) == "@x y#\\z"
    assert found.paths_of(10) == ("/srv/a", "/srv/b:c")
    assert found.owner_of("one") == "alice"
    assert found.broken == ()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("nonsense", "has no colon"),
        ("x:/srv", "'x' is no project id"),
        ("12abc:/srv", "'12abc' is no project id"),
        ("4294967296:/srv", "is no project id"),
        ("-1:/srv", "is no project id"),
        ("٣:/srv", "is no project id"),
        ("7:srv", "'srv' is no absolute path"),
        ("7:", "'' is no absolute path"),
        ("7:/srv\r", "is no absolute path"),
    ],
)
def test_broken_lines_of_projects(line: str, told: str) -> None:
    """They are told with file and line, hide nothing, and stay as they are."""
    before = f"6:/a\n{line}\n8:/b\n"
    (broken,) = parse(Texts(before, "")).broken
    assert str(broken).startswith("/etc/projects:2: ")
    assert told in str(broken)
    assert [tree.id for tree in parse(Texts(before, "")).trees] == [6, 8]
    assert projects.with_tree(Texts(before, ""), 9, "/c").projects == f"{before}9:/c\n"
    assert projects.without_trees(Texts(before, ""), 8, ["/b"]).projects == f"6:/a\n{line}\n"


@pytest.mark.parametrize("line", ["nonsense", "a:b", ":7", "a:", "a\tb:1x"])
def test_broken_lines_of_projid(line: str) -> None:
    (broken,) = parse(Texts("", f"ok:1\n{line}\n")).broken
    assert str(broken).startswith("/etc/projid:2: ")


# --- changing -------------------------------------------------------------------------------------

FOREIGN = "# ours is below\n1:/one\n\n\x0c2:/two\u2028 \r\n \t3 : x"


@pytest.mark.parametrize("foreign", ["", FOREIGN, f"{FOREIGN}\n", "\udcfe:\n"])
def test_a_project_comes_and_goes_and_all_else_stays(foreign: str) -> None:
    texts = Texts(foreign, foreign.replace("/", "n"))
    made = projects.with_name(texts, "vision", 2_000_000, "alice")
    made = projects.with_tree(made, 2_000_000, "/scratch/v")
    assert made.projects.startswith(foreign)
    assert made.projid.startswith(texts.projid)
    assert parse(made).owner_of("vision") == "alice"
    assert projects.with_tree(made, 2_000_000, "/scratch/v") == made
    assert projects.with_name(made, "vision", 2_000_000, "alice") == made
    other = projects.with_name(made, "vision", 2_000_000, "bob")
    assert parse(other).owner_of("vision") == "bob"
    gone = projects.without_project(other, "vision", 2_000_000)
    # the newline that their last line lacked is all that is left of us
    assert [text.rstrip("\n") for text in gone] == [text.rstrip("\n") for text in texts]


def test_only_lines_of_the_project_go() -> None:
    texts = Texts("5:/a\n6:/a\n5:/b\n", "x:5\ny:5\nx:6\n")
    gone = projects.without_project(texts, "x", 5)
    assert gone == Texts("6:/a\n", "y:5\nx:6\n")


# --- ids ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("taken", "docker", "from_top", "expected"),
    [
        (set(), DockerIds(), False, 2_000_000),
        ({2_000_000, 2_000_002}, DockerIds(), False, 2_000_001),
        (set(), DockerIds((0,), frozenset({5, 2_000_000})), False, 2_100_001),
        (set(), DockerIds((1_000_000,), frozenset({1_000_400})), False, 2_000_000),
        (set(), DockerIds((1_999_999,), frozenset()), False, 2_100_000),
        (set(), DockerIds((1_950_000,), frozenset({1_950_007})), False, 2_050_008),
        # our own ids on volumes lift Docker's next one above the range, not into it
        (set(), DockerIds((0, 0), frozenset({2_999_999})), False, 2_000_000),
        (set(), DockerIds(), True, 2_999_999),
        ({2_999_999}, DockerIds((0,), frozenset({2_999_999})), True, 2_999_998),
        (set(OURS), DockerIds(), False, None),
    ],
)
def test_the_next_id(
    taken: set[int], docker: DockerIds, from_top: bool, expected: int | None
) -> None:
    assert next_id(OURS, taken, docker, from_top=from_top) == expected


@pytest.mark.parametrize(
    ("path", "tree", "expected"),
    [
        ("/a/b", "/a/b", True),
        ("/a/b/", "/a/b", True),
        ("/a/b/c", "/a/b", True),
        ("/a", "/a/b", True),
        ("/a/bc", "/a/b", False),
        ("/a/b/../d", "/a/b", False),
        ("/a", "/", True),
    ],
)
def test_overlapping(path: str, tree: str, expected: bool) -> None:
    assert (overlapping(path, [Tree(1, tree, 1)]) is not None) is expected


# --- findings -------------------------------------------------------------------------------------


def view(
    projects_text: str, projid: str, *trees: TreeState, docker: DockerIds | None = None
) -> View:
    return View(
        parse(Texts(projects_text, projid)),
        OURS,
        docker or DockerIds(),
        "/var/lib/docker/volumes",
        trees,
    )


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (view("2000000:/a\n", "a:2000000\n"), []),
        (view("junk\n", ""), ["project-broken-line"]),
        (view("2000000:/a\n", "a:2000000\nb:2000000\n"), ["project-id-twice"]),
        (
            view("2000000:/a\n2000001:/b\n", "a:2000000\na:2000001\n"),
            ["project-name-twice"],
        ),
        (view("", "a:2000000\n"), ["project-without-path"]),
        (view("2000000:/a\n", ""), ["project-without-name"]),
        (view("7:/a\n", "a:7\n"), ["project-foreign"]),
        (view("7:/a\n7:/a/b/c\n", "a:7\n"), ["project-nested", "project-foreign"]),
        (
            view("2000000:/a-b\n2000000:/a\n2000001:/a/x\n", "a:2000000\nx:2000001\n"),
            ["project-nested"],
        ),
        (
            view("2000000:/a\n", "a:2000000\n", docker=DockerIds((0,), frozenset({2_000_000}))),
            ["project-id-of-docker"],
        ),
        (
            view(
                "2999999:/var/lib/docker/volumes/x\n",
                "volumes-a:2999999\n",
                docker=DockerIds((0,), frozenset({2_999_999})),
            ),
            [],
        ),
        (
            view("2000000:/a\n", "a:2000000\n", TreeState(2_000_000, "/a", is_there=False)),
            ["project-path-missing"],
        ),
        (
            view(
                "2000000:/a\n", "a:2000000\n", TreeState(2_000_000, "/a", is_there=True, off="no")
            ),
            ["project-quota-off"],
        ),
        (
            view(
                "2000000:/a\n",
                "a:2000000\n",
                TreeState(2_000_000, "/a", is_there=True, failed=1, failures=(("x", "I/O error"),)),
            ),
            ["project-unreadable"],
        ),
    ],
)
def test_findings(seen: View, expected: list[str]) -> None:
    """Each of them says what to do."""
    found = decide(seen)
    assert [one.kind for one in found] == expected
    assert set(expected) <= set(KINDS)
    assert all(one.evidence[-1].startswith("to do: ") and one.subject["fix"] for one in found)


def test_strays_are_told_one_by_one() -> None:
    number = 2_000_000
    strays = (
        Stray("x", 0, False, False),
        Stray("y", 9, False, False),
        Stray("d", number, True, False),
    )
    state = TreeState(number, "/a", is_there=True, stray_count=40, strays=strays)
    (found,) = decide(view(f"{number}:/a\n", f"a:{number}\n", state))
    assert found.evidence == (
        "40 in /a are not in it as they should be",
        "x: is in no project",
        "y: has id 9, somebody else's, and is left in it",
        "d: what is made in this folder does not get the id",
        "and 37 more",
        "to do: ds01ctl quota project create a /a (goes over the tree again)",
    )


def test_strays_of_others_are_not_ours_to_mend() -> None:
    number = 2_000_000
    strays = (Stray("y", 9, False, False),)
    state = TreeState(number, "/a", is_there=True, stray_count=1, strays=strays)
    (found,) = decide(view(f"{number}:/a\n", f"a:{number}\n", state))
    assert found.evidence[-1].startswith("to do: nothing, if someone else")


def test_findings_of_one_project() -> None:
    seen = view("", "a:2000000\nb:2000001\n")
    assert [one.subject["name"] for one in decide(seen, 2_000_001)] == ["b"]


# --- whose a volume is ----------------------------------------------------------------------------

USERS = {1000: "dave", 1001: "alice", 1002: "bob"}
UIDS = {"alice": 1001, "bob": 1002, "dave": 1000, "root": 0}


@pytest.mark.parametrize(
    ("label", "people", "expected"),
    [
        ("alice", {1001}, Owner("alice", 1001)),
        ("dave", {1000}, Owner("dave", 1000)),
        (
            "alice",
            set(),
            "its label says alice, who has no files in it: a label alone accuses nobody",
        ),
        ("alice", {1000}, "its label says alice, but files of dave are in it"),
        ("alice", {1002}, "its label says alice, but files of bob are in it"),
        ("alice", {1001, 1003}, "its label says alice, but files of uid 1003 are in it"),
        ("eve", {1001}, "its label says eve, who is no user here"),
        ("root", set(), "its label says root, who is no person (uid 0)"),
        (None, {1001}, Owner("alice", 1001)),
        (
            None,
            {1000},
            "has files of uid 1000, as which most images run, and no label ds01.user",
        ),
        (None, {1003}, "has files of uid 1003, who is no user here"),
        (None, {1002, 1001}, "is of several people: alice, bob"),
        (None, set(), "is nobody's: it has no label ds01.user, and no files of a person"),
    ],
)
def test_whose_a_volume_is(label: str | None, people: set[int], expected: Owner | str) -> None:
    assert judge(label, people, USERS, UIDS) == expected


@pytest.mark.parametrize(
    ("login", "name"),
    [
        ("alice", "volumes-alice"),
        ("1005", "volumes-1005"),
        ("bob@uni", "volumes-uid-7"),
        ("a" * 57, "volumes-uid-7"),
        # who is not the uid 1005
        ("uid-1005", "volumes-uid-7"),
        ("uid-x", "volumes-uid-x"),
    ],
)
def test_a_project_of_volumes_has_one_owner(login: str, name: str) -> None:
    assert project_name(login, 7) == name
    assert owner_of(name, {7: login, 1005: "carol"}) == login


@pytest.mark.parametrize("name", ["vision", "volumes", "volumes-", "volumes-uid-8", "xvolumes-a"])
def test_a_project_of_nobodys_volumes(name: str) -> None:
    assert owner_of(name, {7: "bob@uni"}) is None
