"""Every way in which a limit can be lost is told by its name, and mended where it may be."""

from __future__ import annotations

from typing import Any

import pytest

from tests.enforce.host import POLICY, EnforceHost, done

ALICE = "user-1001.slice"
ALICES = "ds01-student-alice.slice"
GIB = 1 << 30


def legs(document: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Unit, property and leg of everything that `check` found."""
    return {
        (one["subject"]["unit"], each["name"], each["leg"])
        for one in document["findings"]
        if one["kind"] in {"limit-drift", "limit-overridden"}
        for each in one["subject"]["properties"]
    }


@pytest.fixture
def settled(host: EnforceHost) -> EnforceHost:
    """A host where every limit is in place, and alice is at work."""
    host.start(ALICE)
    host.apply()
    assert legs(host.json("enforce", "check")) == set()
    return host


def test_not_written(settled: EnforceHost) -> None:
    host = settled
    (host.root / f"etc/systemd/system/{ALICE}.d/50-ds01.conf").unlink()
    found = legs(host.json("enforce", "check"))
    assert (ALICE, "MemoryMax", "not-written") in found
    # the live value is right: only the file is written anew
    assert [kind for kind, _ in done(host.apply())] == ["write-drop-in"]


def test_not_loaded(host: EnforceHost) -> None:
    """Our file is there, and systemd has not read it: a kill between the file and set-property."""
    host.start(ALICE)
    host.apply("--only", "logins,io")
    text = host.drop_in(ALICE) or ""
    host.stop(ALICE)
    (host.root / f"etc/systemd/system/{ALICE}.d/50-ds01.conf").unlink()
    for name in host.runtime(ALICE):
        (host.root / f"run/systemd/system.control/{ALICE}.d/{name}").unlink()
    host.start(ALICE)
    host.write(f"etc/systemd/system/{ALICE}.d/50-ds01.conf", text)
    assert legs(host.json("enforce", "check", "--only", "logins")) >= {
        (ALICE, "MemoryMax", "not-loaded"),
        (ALICE, "CPUQuota", "not-loaded"),
    }
    host.apply()
    assert host.kernel(ALICE, "memory.max") == str(96 * GIB)
    assert legs(host.json("enforce", "check")) == set()


def test_not_in_the_kernel(settled: EnforceHost) -> None:
    settled.write_kernel(ALICE, "memory.max", "max\n")
    found = settled.json("enforce", "check", "--exit-code", status=4)
    assert legs(found) == {(ALICE, "MemoryMax", "not-in-kernel")}
    (finding,) = [one for one in found["findings"] if one["kind"] == "limit-drift"]
    assert finding["evidence"] == [
        "MemoryMax: loaded, but not in the kernel (policy 96G, systemd 96G, kernel no limit)"
    ]
    settled.apply()
    assert settled.kernel(ALICE, "memory.max") == str(96 * GIB)


def test_changed_behind_our_back_in_the_kernel(settled: EnforceHost) -> None:
    settled.write_kernel(ALICE, "pids.max", "77\n")
    settled.write_kernel(ALICE, "cpu.max", "50000 100000\n")
    assert legs(settled.json("enforce", "check")) == {
        (ALICE, "TasksMax", "changed-in-kernel"),
        (ALICE, "CPUQuota", "changed-in-kernel"),
    }
    document = settled.apply()
    assert done(document) == [("set-property", ALICE)]
    assert settled.kernel(ALICE, "pids.max") == "12288"
    # only what differed was set
    assert [word.partition("=")[0] for word in settled.calls[-1][-2:]] == ["CPUQuota", "TasksMax"]


def test_overridden_by_set_property(settled: EnforceHost) -> None:
    """An admin's set-property is named; the policy is what holds in the end."""
    settled.set_property(ALICE, "MemoryMax=200G")
    document = settled.json("enforce", "check")
    assert legs(document) == {(ALICE, "MemoryMax", "overridden")}
    (finding,) = [one for one in document["findings"] if one["kind"] == "limit-overridden"]
    (drift,) = finding["subject"]["properties"]
    assert drift["by"] == f"/run/systemd/system.control/{ALICE}.d/50-MemoryMax.conf"
    settled.apply()
    assert settled.kernel(ALICE, "memory.max") == str(96 * GIB)


def test_changed_behind_our_back_in_systemd(settled: EnforceHost) -> None:
    settled.set_property(ALICE, "MemoryMax=200G")
    path = f"run/systemd/system.control/{ALICE}.d/50-MemoryMax.conf"
    (settled.root / path).unlink()
    settled.reload()
    settled.set_property(ALICE, "MemoryMax=200G")
    (settled.root / path).unlink()
    assert legs(settled.json("enforce", "check")) == {(ALICE, "MemoryMax", "changed-in-systemd")}


@pytest.mark.parametrize("folder", [f"{ALICE}.d", "user-.slice.d"])
def test_overridden_by_a_foreign_drop_in(settled: EnforceHost, folder: str) -> None:
    """A file that is read after ours wins at the next log-in: it is named, and not fought."""
    host = settled
    path = f"/etc/systemd/system/{folder}/99-local.conf"
    host.write(path.lstrip("/"), "[Slice]\nMemoryMax=200G\n")
    document = host.json("enforce", "check")
    assert (ALICE, "MemoryMax", "overridden") in legs(document)
    assert path in str(document["findings"])
    host.reload()
    calls = len(host.calls)
    document = host.apply()
    assert host.kernel(ALICE, "memory.max") == str(200 * GIB)
    assert done(document) == []
    assert [call for call in host.calls[calls:] if call[0] == "set-property"] == []


def test_a_foreign_drop_in_that_ours_beats(settled: EnforceHost) -> None:
    """The platform's own 10-resource-limits.conf is read before ours."""
    settled.write(
        f"etc/systemd/system/{ALICES}.d/10-resource-limits.conf", "[Slice]\nMemoryMax=32G\n"
    )
    settled.start(ALICES)
    assert settled.kernel(ALICES, "memory.max") == str(96 * GIB)
    assert legs(settled.json("enforce", "check")) == set()


def test_a_drop_in_that_somebody_edited(settled: EnforceHost) -> None:
    """It is written anew, and a copy of the edit is kept."""
    host = settled
    path = host.root / f"etc/systemd/system/{ALICE}.d/50-ds01.conf"
    path.write_text(path.read_text().replace("MemoryMax=96G", "MemoryMax=1T"))
    assert (ALICE, "MemoryMax", "not-written") in legs(host.json("enforce", "check"))
    host.apply()
    assert "MemoryMax=96G" in path.read_text()
    (copy,) = (host.root / "var/lib/ds01/replaced").rglob("50-ds01.conf.*")
    assert "MemoryMax=1T" in copy.read_text()


def test_a_file_of_somebody_else_in_our_place(host: EnforceHost) -> None:
    host.start(ALICE)
    path = host.write(f"etc/systemd/system/{ALICE}.d/50-ds01.conf", "[Slice]\nMemoryMax=1T\n")
    document = host.apply()
    assert path.read_text() == "[Slice]\nMemoryMax=1T\n"
    (skipped,) = [a for a in document["actions"] if a["outcome"] == "skipped"]
    assert "not ds01ctl's" in skipped["error"]
    host.json("enforce", "revert", "--yes")
    assert path.exists()


def test_a_kernel_that_does_not_take_it(host: EnforceHost) -> None:
    """What was set is read back: a success of systemctl's is no proof."""
    host.start(ALICE)
    host.tell_systemctl(deaf=["pids.max"])
    document = host.apply(status=3)
    (failed,) = [a for a in document["actions"] if a["outcome"] == "failed"]
    assert failed["error"] == "the kernel did not take it: TasksMax is 4000"
    assert host.metric('ds01_enforce_changes{outcome="failed"}') == 1


def test_a_slice_that_comes_to_life_later(host: EnforceHost) -> None:
    """The drop-in of a slice nobody is in is read when the first log-in starts it."""
    host.apply()
    host.start(ALICE)
    assert host.kernel(ALICE, "memory.max") == str(96 * GIB)
    calls = len(host.calls)
    assert host.apply()["actions"] == []
    assert len(host.calls) == calls


def test_hardware_is_compared(host: EnforceHost) -> None:
    """A limit beyond the machine is told with the number, once, whomever it is for."""
    host.user("carol", 1003)
    host.members("student", "alice", "carol")
    host.policy(POLICY.replace('"800%"', '"4800%"').replace("96G", "500G"))
    document = host.json("enforce", "plan")
    told = [one["evidence"][0] for one in document["findings"] if one["kind"] == "limit-unusable"]
    assert "aggregate.cpu_quota: 4800% is more than the 16 CPUs of this machine" in told
    assert "aggregate.memory_max: 500.0 GiB is more than the 256.0 GiB of this machine" in told
    assert len(told) == 2


@pytest.mark.parametrize(
    ("keys", "told", "applied"),
    [
        ('allowed_cpus: "8-20"', "there is no CPU 16 on this machine; not applied", "AllowedCPUs"),
        ('io_read_bandwidth_max: "/dev/nosuch 10M"', "no such file or directory; not applied",
         "IOReadBandwidthMax"),
        ("io_weight: 50", "no disk has the bfq scheduler or io.cost", None),
        ("memory_high: 100G", "nothing slows down before the kill", None),
    ],
)  # fmt: skip
def test_what_this_machine_cannot_give(
    host: EnforceHost, keys: str, told: str, applied: str | None
) -> None:
    host.write("etc/ds01/user-overrides.yaml", f"alice: {{aggregate: {{{keys}}}}}\n")
    document = host.apply()
    said = [text for one in document["findings"] for text in one["evidence"]]
    assert any(told in text for text in said), said
    if applied:
        assert applied not in (host.drop_in(ALICE) or "")
    assert "MemoryMax=96G" in (host.drop_in(ALICE) or "")


def test_devices(host: EnforceHost) -> None:
    """A path is found on its disk, lists are replaced, and the kernel agrees."""
    disk = host.root / "sys/devices/block/sda"
    (disk / "sda1").mkdir(parents=True)
    (disk / "dev").write_text("8:0\n")
    (disk / "sda1/partition").write_text("1\n")
    (disk / "sda1/dev").write_text("8:1\n")
    number = (host.root / "srv").mkdir() or (host.root / "srv").stat().st_dev
    place = f"{number >> 8 & 0xFFF}:{number & 0xFF | number >> 12 & 0xFFF00}"
    (host.root / f"sys/dev/block/{place}").symlink_to(disk / "sda1")
    (host.root / "sys/dev/block/8:0").symlink_to(disk)
    rates = "io_read_bandwidth_max: '/srv {rate}', io_write_iops_max: ['/srv 2K']"
    text = f"alice: {{{{aggregate: {{{{{rates}}}}}}}}}\n"
    host.start(ALICE)
    host.write("etc/ds01/user-overrides.yaml", text.format(rate="10M"))
    host.apply()
    assert host.kernel(ALICE, "io.max") == "8:0 rbps=10000000 wbps=max riops=max wiops=2000"
    assert "IOReadBandwidthMax=\nIOReadBandwidthMax=/dev/sda 10000000\n" in (
        host.drop_in(ALICE) or ""
    )
    host.write("etc/ds01/user-overrides.yaml", text.format(rate="25M"))
    host.apply()
    assert host.kernel(ALICE, "io.max") == "8:0 rbps=25000000 wbps=max riops=max wiops=2000"
    assert legs(host.json("enforce", "check")) == set()
    (host.root / "etc/ds01/user-overrides.yaml").unlink()
    host.apply()
    assert host.kernel(ALICE, "io.max") == ""
