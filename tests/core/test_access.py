"""What root without CAP_DAC_OVERRIDE may do, by the mode; and which services run so."""

from __future__ import annotations

import pytest

from ds01ctl.core.access import (
    EXECUTE,
    READ,
    SEARCH,
    WRITE,
    Place,
    blocked,
    cure,
    grants,
    may,
    services,
)
from ds01ctl.core.unit_text import UnitFile, directives

ALICE = 1001


def file(mode: int, uid: int = 0, gid: int = 0, *, has_acl: bool = False) -> Place:
    return Place("/x", uid, gid, mode, has_acl=has_acl)


def folder(mode: int, uid: int = 0, gid: int = 0) -> Place:
    return Place("/d", uid, gid, mode, is_dir=True)


@pytest.mark.parametrize(
    ("place", "wanted", "plain", "reader"),
    [
        (file(0o600), READ | WRITE, True, True),
        (file(0o400), WRITE, False, False),
        (file(0o600, ALICE), READ, False, True),
        (file(0o600, ALICE), WRITE, False, False),
        (file(0o640, ALICE), READ, True, True),
        (file(0o640, ALICE, ALICE), READ, False, True),
        (file(0o644, ALICE, ALICE), READ, True, True),
        # the group's bits hold for root, even where the others' say more
        (file(0o604, ALICE), READ, False, True),
        (file(0o711, ALICE), READ | EXECUTE, False, False),
        (file(0o755, ALICE), READ | EXECUTE, True, True),
        (file(0o644), EXECUTE, False, False),
        (file(0o600, ALICE, has_acl=True), WRITE, True, True),
        (file(0o400, has_acl=True), WRITE, False, False),
        (folder(0o700, ALICE), SEARCH, False, True),
        (folder(0o750, ALICE, ALICE), READ | SEARCH, False, True),
        (folder(0o775, ALICE), WRITE | SEARCH, True, True),
        (folder(0o755, ALICE), WRITE | SEARCH, False, False),
        (folder(0o1777, ALICE, ALICE), WRITE | SEARCH, True, True),
    ],
)
def test_the_mode_decides(place: Place, wanted: int, *, plain: bool, reader: bool) -> None:
    """reader: with CAP_DAC_READ_SEARCH."""
    found = [may(place, wanted, reads_all=reads_all) for reads_all in (False, True)]
    assert found == [plain, reader]


def test_the_first_that_stands_in_the_way() -> None:
    way = [folder(0o755), folder(0o750, ALICE, ALICE), file(0o600, ALICE)]
    assert blocked(way, READ, reads_all=False) == way[1]
    assert blocked(way, WRITE, reads_all=True) == way[2]
    assert blocked(way, READ, reads_all=True) is None
    assert blocked([], READ, reads_all=False) is None


@pytest.mark.parametrize(
    ("place", "wanted", "command"),
    [
        (file(0o640, ALICE, ALICE), READ, "chown root /x"),
        (file(0o440, ALICE), WRITE, "chown root /x && chmod u+w /x"),
        (file(0o400), WRITE, "chmod u+w /x"),
        (folder(0o755, ALICE), WRITE | SEARCH, "chown root /d"),
        (folder(0o750, ALICE, ALICE), SEARCH, "chmod o+x /d"),
        (folder(0o740, ALICE), SEARCH, "chmod g+x /d"),
        (file(0o0)._replace(path="/a b"), READ, "chmod u+r '/a b'"),
    ],
)
def test_the_cure_opens_no_more_than_is_wanted(place: Place, wanted: int, command: str) -> None:
    assert cure(place, wanted) == command


# --- which services ---


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        ([], True),
        (["CAP_X CAP_DAC_OVERRIDE"], True),
        (["CAP_X"], False),
        ([""], False),
        (["CAP_X", "CAP_DAC_OVERRIDE"], True),
        (["CAP_DAC_OVERRIDE", "CAP_X"], True),
        (["CAP_DAC_OVERRIDE", ""], False),
        (["", "CAP_DAC_OVERRIDE"], True),
        (["~CAP_X"], True),
        (["~CAP_DAC_OVERRIDE CAP_X"], False),
        (["CAP_X", "~"], True),
        (["CAP_X", "~CAP_X"], False),
    ],
)
def test_what_a_bounding_set_leaves(lines: list[str], *, left: bool) -> None:
    text = "".join(f"CapabilityBoundingSet={line}\n" for line in lines)
    assert grants(directives(f"[Service]\n{text}"), "CAP_DAC_OVERRIDE") is left


HEAD = "[Service]\nExecStart=/bin/x --y\n"


def bound(text: str, *more: UnitFile) -> list[str]:
    files = [UnitFile("a.service", HEAD + text, "a"), *more]
    return [one.name for one in services(files)]


@pytest.mark.parametrize(
    ("text", "is_bound"),
    [
        ("", False),
        ("CapabilityBoundingSet=\n", True),
        ("CapabilityBoundingSet=\nUser=root\n", True),
        ("CapabilityBoundingSet=\nUser=alice\n", False),
        ("CapabilityBoundingSet=\nDynamicUser=yes\n", False),
    ],
)
def test_whom_the_rule_is_about(text: str, *, is_bound: bool) -> None:
    assert bound(text) == ["a.service"] * is_bound


def test_a_drop_in_of_the_admins_counts() -> None:
    gives = "[Service]\nCapabilityBoundingSet=CAP_DAC_OVERRIDE\n"
    drop_in = UnitFile("a.service.d/50-local.conf", gives, "d", is_admins=True)
    assert bound("CapabilityBoundingSet=\n", drop_in) == []


def test_what_a_service_starts_and_writes_to() -> None:
    text = (
        "CapabilityBoundingSet=CAP_DAC_READ_SEARCH\nReadWritePaths=/gone\nReadWritePaths=\n"
        'ReadWritePaths=-/var/lib/ds01 "-/srv/my metrics 5%%"\nReadWritePaths=relative\n'
    )
    (one,) = services([UnitFile("a.service", HEAD + text, "a")])
    assert (one.program, one.where, one.reads_all) == ("/bin/x", "a:2", True)
    assert one.writes == ("/var/lib/ds01", "/srv/my metrics 5%")
