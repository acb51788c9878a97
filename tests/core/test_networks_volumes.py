"""Networks that nobody needs, volumes that are only told of, and the build cache."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from ds01ctl.core import build_cache, networks, volumes
from ds01ctl.core.image_model import CacheRecord, Holder, Network, Volume
from ds01ctl.core.image_rules import Rules
from ds01ctl.core.image_uses import network_key, volume_key
from ds01ctl.core.volume_owner import Owner
from tests.core.image_worlds import ENGINE, GIB, HOUR, NOW, NOW_S

BUILT = datetime(2026, 1, 1, tzinfo=timezone.utc)
NET = Network(ENGINE, "n" * 64, "lab", "bridge", "local", BUILT)
HOLDER = Holder(ENGINE, "c", "works", "exited", "", "")
COMPOSE = "com.docker.compose.project"


def unused_h(hours: float) -> dict[tuple[str, str], tuple[int, int]]:
    return {(ENGINE, network_key(NET.id)): (NOW_S - int(hours * HOUR), NOW_S - 900 * HOUR)}


@pytest.mark.parametrize(
    ("network", "holder", "hours", "rules", "goes"),
    [
        (NET, None, 24, Rules(), True),
        (NET, None, 23.9, Rules(), False),
        (NET, None, 5, Rules(networks_unused_h=5), True),
        (NET, None, 999, Rules(networks_unused_h=None), False),
        # whatever state: it is started again some day
        (NET, HOLDER._replace(networks=("lab",)), 99, Rules(), False),
        (NET, HOLDER._replace(networks=(NET.id,)), 99, Rules(), False),
        (NET, HOLDER._replace(networks=("lab",), state="created"), 99, Rules(), False),
        (NET, HOLDER._replace(networks=("lab",), engine="unix:///other"), 99, Rules(), True),
        (NET, HOLDER._replace(networks=("lab2",)), 99, Rules(), True),
        (NET._replace(labels={COMPOSE: "p"}), HOLDER._replace(project="p"), 99, Rules(), False),
        (NET._replace(labels={COMPOSE: "p"}), HOLDER._replace(project="q"), 99, Rules(), True),
        (NET._replace(labels={COMPOSE: ""}), HOLDER, 99, Rules(), True),
        *((NET._replace(name=name), None, 99, Rules(), False)
          for name in ("bridge", "host", "none", "docker_gwbridge", "ingress", "podman")),
        (NET._replace(scope="swarm"), None, 99, Rules(), False),
        (NET._replace(is_special=True), None, 99, Rules(), False),
        (NET._replace(labels={"ds01.protected": "true"}), None, 99, Rules(), False),
        (NET._replace(labels={"ds01.keep": "x"}), None, 99, Rules(), False),
        (NET._replace(labels={"ds01.keep": "false"}), None, 99, Rules(), True),
    ],
)  # fmt: skip
def test_networks(
    network: Network, holder: Holder | None, hours: float, rules: Rules, goes: bool
) -> None:
    holders = [holder] if holder else []
    found = networks.decide([network], holders, unused_h(hours), rules, NOW, {ENGINE})
    assert [one.target for one in found] == [NET.id] * goes


def test_a_network_change() -> None:
    (change,) = networks.decide([NET], [], unused_h(30), Rules(), NOW, {ENGINE})
    assert (change.kind, change.part, change.name) == ("remove-network", "networks", "lab")
    assert change.identity == {"name": "lab"}
    assert change.reason == "no container needs it (cleanup.networks_unused_h 24, built-in)"
    assert change.evidence[0] == "last seen in use 30.0 h ago, 2026-11-25T06:00:00Z"


def test_no_network_goes_unseen() -> None:
    """Neither one that is seen for the first time, nor where the containers are not known."""
    assert networks.decide([NET], [], {}, Rules(), NOW, {ENGINE}) == ()
    assert networks.decide([NET], [], unused_h(99), Rules(), NOW, set()) == ()


# --- volumes -------------------------------------------------------------------------------------


def volume(name: str, **fields: object) -> Volume:
    return Volume(ENGINE, name, "local", BUILT)._replace(**fields)  # type: ignore[arg-type]


def test_volumes() -> None:
    """Those that nobody mounts first, the largest first; every state mounts."""
    seen = [
        volume("data", size_bytes=9 * GIB, labels={"ds01.user": "alice"}),
        volume("old", size_bytes=GIB),
        volume("f" * 64, size_bytes=2 * GIB),
        volume("fresh"),
    ]
    uses = {(ENGINE, volume_key(one.name)): (NOW_S - 50, NOW_S - 50) for one in seen}
    uses[ENGINE, volume_key("old")] = (NOW_S - HOUR, NOW_S - 9 * HOUR)
    holders = [HOLDER._replace(volumes=("data",)),
               HOLDER._replace(name="also", state="created", volumes=("data",))]  # fmt: skip
    owners: dict[tuple[str, str], Owner | str] = {(ENGINE, "data"): Owner("alice", 1001)}
    owners[ENGINE, "old"] = "is of several people: a, b"
    rows = volumes.rows(seen, holders, uses, {ENGINE}, owners)
    assert [row.name for row in rows] == ["f" * 64, "old", "fresh", "data"]
    anonymous, old, fresh, data = rows
    assert [row.is_anonymous for row in rows] == [True, False, False, False]
    assert data.is_dangling is False
    assert data.containers == ("also (created)", "works (exited)")
    assert (data.user, data.owner) == ("alice", "alice")
    assert old.user is None
    assert old.owner == "is of several people: a, b"
    assert old.last_mounted_at is not None
    assert old.last_mounted_at.timestamp() == NOW_S - HOUR
    assert fresh.last_mounted_at is None
    assert fresh.size_bytes is None
    told = volumes.notices(rows)
    assert [one.kind for one in told] == ["volume"] * 3
    assert told[0].text == f"anonymous volume {'f' * 64}, 2 GiB: no container mounts it"
    assert told[1].evidence == (
        "last seen mounted 2026-11-26T11:00:00Z",
        "owner: is of several people: a, b",
    )
    assert told[2].text == "volume fresh: no container mounts it"
    assert told[2].evidence[0] == "not seen mounted since it was first seen 2026-11-26T11:59:10Z"
    assert anonymous.first_seen_at == fresh.first_seen_at


def test_a_label_alone_is_no_owner() -> None:
    (row,) = volumes.rows([volume("v", labels={"ds01.user": "eve"})], [], {}, {ENGINE})
    assert (row.user, row.owner) == (None, "its label says eve; its files were not looked at")
    (told,) = volumes.notices([row])
    assert told.user is None
    assert told.evidence[0] == "not known when it was mounted"


def test_without_the_containers_nothing_is_dangling() -> None:
    """A missing reading is no empty one."""
    rows = volumes.rows([volume("v")], [], {}, set())
    assert rows[0].is_dangling is None
    assert volumes.notices(rows) == ()


# --- build cache ---------------------------------------------------------------------------------


def record(size: float, kind: str = "regular", **fields: object) -> CacheRecord:
    usual = CacheRecord(ENGINE, "r", kind, int(size * GIB), False, False, None)
    return usual._replace(**fields)  # type: ignore[arg-type]  # as a test says


def test_the_cache_is_told() -> None:
    """What is an image's as well is not the cache's."""
    records = [record(3), record(2, in_use=True), record(9, shared=True), record(1, "source.local")]
    rows = build_cache.rows(records)
    assert [(row.type, row.records, row.size_bytes // GIB) for row in rows] == [
        ("regular", 3, 5), ("source.local", 1, 1),
    ]  # fmt: skip
    changes, (told,) = build_cache.decide(records, Rules())
    assert changes == ()
    assert told.text == f"{ENGINE}: the build cache holds 6 GiB that no image has"
    assert told.evidence == ("regular: 3 records, 5 GiB", "source.local: 1 records, 1 GiB")


@pytest.mark.parametrize(
    ("keep", "frees"), [(6, None), (5.5, 0.5), (5, 1), (1, 4), (0, 4), (7, None)]
)
def test_one_prune_where_the_policy_says_so(keep: float, frees: float | None) -> None:
    """What is in use stays; BuildKit says which of the rest goes."""
    records = [record(4), record(2, in_use=True), record(9, shared=True)]
    changes, told = build_cache.decide(records, Rules(cache_keep_gib=keep))
    assert told == ()
    if frees is None:
        assert changes == ()
        return
    (change,) = changes
    assert (change.kind, change.part, change.target) == ("prune-build-cache", "cache", ENGINE)
    assert change.identity == {"keep_bytes": str(int(keep * GIB))}
    assert change.frees_bytes == frees * GIB
    assert change.reason == f"it holds 6 GiB (cleanup.cache.keep_gib {keep:g}, built-in)"


def test_no_cache_no_word() -> None:
    assert build_cache.decide([], Rules(cache_keep_gib=1)) == ((), ())
