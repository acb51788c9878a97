"""What a snapshot file keeps, and how a broken one is refused."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from ds01ctl.core.codec import (
    SCHEMA,
    CodecError,
    dump_snapshot,
    format_time,
    load_snapshot,
    parse_time,
)
from ds01ctl.core.model import (
    Container,
    ContainerConfig,
    DeviceRequest,
    Driver,
    Engine,
    Gap,
    Gpu,
    GpuUse,
    Grant,
    MigDevice,
    Mount,
    Process,
    Snapshot,
)

NOON = datetime(2026, 11, 23, 12, 0, 0, 123456, timezone.utc)
MIG = MigDevice("MIG-1", 7, 0, "1g.5gb", 1, 5 << 30, None)
USE = GpuUse(4242, "GPU-1", "C", 1 << 30, "MIG-1", 7, 0)
RICH = Snapshot(
    taken_at=NOON,
    host="gpu01",
    boot_id="b",
    euid=0,
    driver=Driver("550.1", "12.550", None),
    gpus=(
        Gpu(0, "GPU-1", "A100", 0, mig_mode=True, mig_devices=(MIG,)),
        Gpu(1, "x", health="lost"),
    ),
    uses=(USE,),
    processes={
        4242: Process(4242, 99, NOON, "S", 1, "pyth\x1b[0m\n\udcff", 1001, uid_map=((0, 1001, 1),))
    },
    unreadable={7: "gone"},
    dead=(USE,),
    device_holders={"GPU-1": (1, 2)},
    engines=(Engine("unix:///run/docker.sock", answered=True),),
    containers=(
        Container(
            "unix:///run/docker.sock",
            "ab" * 32,
            "one",
            "image",
            "running",
            NOON,
            {"ds01.user": "[red]\u2028", "": ""},
            (Mount("bind", "/home/a", "/w"),),
            config=ContainerConfig(
                "nvidia", False, (DeviceRequest("", -1, (), ("gpu",)),), ("/dev/nvidia0",)
            ),
        ),
    ),
    users={1001: "alice"},
    uids={"alice": 1001},
    path_owners={"/home/a": 1001},
    grants=(Grant("alice", None, "f"), Grant("bob", NOON, "g")),
    gaps=(Gap("docker", "failed", "no"),),
)


@pytest.mark.parametrize("snapshot", [RICH, Snapshot(NOON, "h", "b", 1000)])
def test_round_trip(snapshot):
    assert load_snapshot(dump_snapshot(snapshot)) == snapshot


def test_file_is_the_same_for_the_same_snapshot():
    turned = {8: "b", 7: "a"}
    one = Snapshot(NOON, "h", "b", 0, unreadable=turned)
    other = Snapshot(NOON, "h", "b", 0, unreadable=dict(reversed(turned.items())))
    assert dump_snapshot(one) == dump_snapshot(other)
    assert dump_snapshot(one).isascii()


def broken(change):
    data = json.loads(dump_snapshot(RICH))
    change(data["snapshot"])
    return json.dumps(data)


def put(*path_and_value):
    *path, last, value = path_and_value

    def change(data):
        for step in path:
            data = data[step]
        data[last] = value

    return broken(change)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1: not JSON"),
        (dump_snapshot(RICH)[:700], "not JSON"),
        ("[" * 200_000, "not JSON"),
        ('{"schema": ' + "9" * 5000 + "}", "not JSON"),
        ("NaN", "not JSON: NaN"),
        ("[]", "schema: None, expected"),
        ('{"schema": "ds01ctl-snapshot/v9"}', "schema: 'ds01ctl-snapshot/v9', expected"),
        (json.dumps({"schema": SCHEMA}), "snapshot: None, expected an object"),
        (json.dumps({"schema": SCHEMA, "snapshot": {}}), "taken_at: missing"),
        (put("containers", 0, "state", None), "containers[0].state: None, expected a string"),
        (put("containers", 0, "nick", "x"), "containers[0].nick: unknown key"),
        (put("containers", 0, "\x1b[31m", "x"), r"containers[0].'\x1b[31m': unknown key"),
        (put("containers", 0, "labels", "k", 7), "containers[0].labels['k']: 7, expected a string"),
        (put("containers", {}), "containers: dict, expected a list"),
        (put("gpus", 1, "health", "fine"), "gpus[1].health: 'fine', expected one of ok, lost"),
        (put("gpus", 1, "index", True), "gpus[1].index: True, expected an integer"),
        (put("uses", 0, "memory_bytes", 1.5), "uses[0].memory_bytes: 1.5, expected an integer"),
        (
            put("uses", 0, "memory_bytes", 10**400),
            "uses[0].memory_bytes: no number here is that large",
        ),
        (put("processes", []), "processes: list, expected an object"),
        (put("processes", "x", {}), "processes['x']: 'x', expected an integer as key"),
        (put("processes", "4242", "uid_map", 0, [1, 2]), "uid_map[0]: list, expected a list of 3"),
        (put("taken_at", "2026-11-23"), "taken_at: '2026-11-23': not a time"),
        (put("taken_at", "2026-11-23T12:00:00"), "expected a time with its zone"),
        (put("taken_at", "2026-13-23T12:00:00Z"), "taken_at: '2026-13-23T12:00:00Z': month must"),
        (put("taken_at", "0001-01-01T00:00:00+10:00"), "taken_at: "),
        (put("host", 5), "host: 5, expected a string"),
        (put("host", ["x" * 9999]), "host: list, expected a string"),
    ],
)
def test_broken_file_has_one_clear_error(text, says):
    with pytest.raises(CodecError) as caught:
        load_snapshot(text)
    assert says in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


def test_missing_optional_key_has_its_default():
    def forget(data):
        del data["gaps"], data["gpus"][0]["health"]

    old = load_snapshot(broken(forget))
    assert old.gaps == ()
    assert old.gpus[0].health == "ok"


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-23T12:00:00.123456789Z", NOON),
        ("2026-11-23 13:00:00.123456+01:00", NOON),
        ("2026-11-23T11:00:00,123456-0100", NOON),
        ("2026-11-23T12:00:00Z", NOON.replace(microsecond=0)),
        ("2026-11-23T12:00:00.1", NOON.replace(microsecond=100_000, tzinfo=None)),
    ],
)
def test_parse_time(text, time):
    assert parse_time(text) == time


def test_format_time_is_utc():
    east = timezone(timedelta(hours=5, minutes=30))
    assert format_time(NOON.astimezone(east)) == "2026-11-23T12:00:00.123456Z"
    assert format_time(NOON.replace(microsecond=0)) == "2026-11-23T12:00:00Z"
