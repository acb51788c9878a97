"""One sample of `carbon` from all its sources at once, in a program of its own."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from ds01ctl.core.energy_interval import account
from ds01ctl.core.energy_memory import Memory, from_json, to_json
from ds01ctl.core.energy_model import OWN, UNATTRIBUTED, Activity, SplitPolicy
from ds01ctl.core.energy_projects import party_of
from ds01ctl.core.gpu_shares import GpuPast
from tests.nvml.double import GIB, uuid
from tests.observe.energy_world import MIB, EnergyWorld
from tests.observe.stub_engine import ID, StubEngine, entry, inspect_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ds01ctl.commands.carbon_reading import CarbonReading
    from tests.nvml.double import NvmlDouble

PROGRAM = """
import pickle, sys
from pathlib import Path
from ds01ctl.commands import carbon_reading
from ds01ctl.observe.boottime import Instant
from ds01ctl.paths import Paths
known, memory, at_s, own = pickle.load(sys.stdin.buffer)
clock = None if at_s is None else lambda: Instant(at_s, at_s)
policy = Path(sys.argv[2])
reading = carbon_reading.read(
    Paths(Path(sys.argv[1])), policy, known, memory, own_cpu_us=own, clock=clock)
assert not {"docker", "pynvml", "urllib.request"} & set(sys.modules)
sys.stdout.buffer.write(pickle.dumps(reading))
"""
ALICE = "/ds01.slice/ds01-student.slice/ds01-student-alice.slice"
S = 1_000_000


class Host:
    """A world with GPUs and an engine."""

    def __init__(self, world: EnergyWorld, nvml: NvmlDouble, engine: StubEngine) -> None:
        self.world = world
        self.nvml = nvml
        self.engine = engine
        self.policy = world.root / "policy.yaml"
        self.policy.write_text(
            "groups:\n  student:\n    members: [alice, bob]\ndefaults:\n  max_mig_instances: 1\n"
        )

    def contain(self, *placed: tuple[int, str, dict[str, Any]], **fields: Any) -> None:
        """List containers: number, control group, and what their inspect adds; fields of all."""
        entries = []
        for number, cgroup, host_config in placed:
            pid = 10_000 + number
            if not (self.world.root / f"proc/{pid}").exists():
                self.world.process(pid, cgroup)
            running = {"state": "running", "Pid": pid, "StartedAt": "2026-11-26T10:00:00Z"}
            one = entry(number, **(running | fields))
            entries.append(one)
            inspected = inspect_of(one, **host_config)
            self.engine.answer(f"/containers/{one['Id']}/json", inspected)
        self.engine.answer("/containers/json?all=1", entries)

    def read(
        self, memory: Memory | None = None, at_s: float | None = None, own_cpu_us: int = 0
    ) -> CarbonReading:
        env = os.environ | self.nvml.env() | {"DOCKER_HOST": self.engine.host}
        argv = [
            sys.executable,
            "-W",
            "error",
            "-c",
            PROGRAM,
            str(self.world.root),
            str(self.policy),
        ]
        sent = pickle.dumps(({}, memory, at_s, own_cpu_us))
        done = subprocess.run(argv, env=env, input=sent, capture_output=True, timeout=60)
        assert (done.returncode, done.stderr.decode()) == (0, "")
        reading: CarbonReading = pickle.loads(done.stdout)
        return reading


@pytest.fixture
def host(tmp_path: Path, nvml: NvmlDouble) -> Iterator[Host]:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory(prefix="ds01-c-") as folder:
        engine = StubEngine(Path(folder))
        engine.containers()
        root = tmp_path / "root"
        root.mkdir()
        yield Host(EnergyWorld(root), nvml, engine)
        engine.stop()


def scope(number: int, above: str = "/system.slice") -> str:
    return f"{above}/docker-{ID(number)}.scope"


def test_the_first_sample(host: Host) -> None:
    """Counters are there, and nothing is known of what was done before."""
    host.world.zone("intel-rapl:0", "package-0", 1000)
    host.nvml.gpu(0, energy_mj=5).process(0, 100)
    host.world.process(100, "/user.slice/user-4001.slice/session-3.scope", uid=4001)
    reading = host.read()
    assert {one.name for one in reading.counters} == {"rapl:package-0", f"gpu:{uuid(0)}"}
    assert (reading.work.total, reading.work.seconds) == (None, 0)
    assert [one.party for one in reading.work.gpus[uuid(0)]] == ["4001"]
    assert [gap for gap in reading.gaps if gap.kind != "absent"] == []
    assert from_json(to_json(reading.memory)) == reading.memory


def test_who_did_what(host: Host) -> None:
    """Slices of two kinds, a container outside of them, GPU processes, and our own part."""
    groups = {"/user.slice/user-4001.slice": 0, ALICE: 0, scope(2): 0}

    def use(**cpu_us: int) -> None:
        for path, name in zip(groups, ("login", "slice", "scope"), strict=True):
            host.world.group(path, cpu_us[name], 10 * MIB)
        host.world.group("/", sum(cpu_us.values()) + 1_000_000)
        host.world.host(0, 100 * MIB)

    host.nvml.gpus(2).process(0, 100, mem=GIB).process(0, 101, mem=GIB)
    host.world.process(100, scope(1, ALICE))
    host.world.process(101, "/user.slice/user-4001.slice/session-3.scope", uid=4001)
    gpus = {"Runtime": "nvidia"}
    host.contain((1, scope(1, ALICE), gpus), (2, scope(2), {}))
    use(login=0, slice=0, scope=0)
    first = host.read(at_s=100.0)
    use(login=3_000_000, slice=6_000_000, scope=500_000)
    host.nvml.sample(0, 100, at=-S, sm=75).sample(0, 101, at=-S, sm=25)
    second = host.read(first.memory._replace(at_us=first.memory.at_us - 60 * S), 160.0, 7_000)
    work = second.work
    assert work.seconds == 60
    assert work.total is not None
    assert work.total.cpu_us == 9_500_000
    assert work.total.memory_bytes == 100 * MIB
    assert work.parties == {
        "4001": Activity(3_000_000, 10 * MIB),
        "alice": Activity(6_000_000, 10 * MIB),
        UNATTRIBUTED: Activity(500_000, 10 * MIB),
        OWN: Activity(7_000),
    }
    found = {one.party: (one.sm_percent, one.memory_bytes) for one in work.gpus[uuid(0)]}
    assert found == {"4001": (25, GIB), "alice": (75, GIB)}
    assert work.gpus[uuid(1)] == ()
    # of the containers only the one outside is kept, and read
    assert scope(1, ALICE) not in second.memory.usage.groups
    assert scope(2) in second.memory.usage.groups


def test_holders(host: Host) -> None:
    """Who was given a GPU holds it; who may use all because he is privileged does not."""
    host.nvml.gpus(2)
    asked = [{"Driver": "nvidia", "Count": 0, "DeviceIDs": ["1"], "Capabilities": [["gpu"]]}]
    host.world.group(ALICE, 0)
    host.contain(
        (1, scope(1, ALICE), {"DeviceRequests": asked}), (2, scope(2, ALICE), {"Privileged": True})
    )
    work = host.read().work
    assert work.gpus[uuid(0)] == ()
    assert [(one.party, one.is_holder) for one in work.gpus[uuid(1)]] == [("alice", True)]


def test_for_how_long_a_gpu_was_held(host: Host) -> None:
    """From the start of the container to its end, as the engine tells them."""
    host.nvml.gpus(1)
    asked = [{"Driver": "nvidia", "Count": 0, "DeviceIDs": ["0"], "Capabilities": [["gpu"]]}]
    gpus = {"DeviceRequests": asked}
    host.world.group(ALICE, 0)
    now = int(datetime.now(timezone.utc).timestamp())

    def iso(at: int) -> str:
        return datetime.fromtimestamp(at, timezone.utc).isoformat()

    first = host.read().memory._replace(at_us=(now - 60) * S)
    host.contain((1, scope(1, ALICE), gpus), StartedAt=iso(now - 15))
    second = host.read(first)
    (alice,) = second.work.gpus[uuid(0)]
    length = second.memory.at_us - first.at_us
    assert (alice.party, alice.is_holder) == ("alice", True)
    assert alice.held == pytest.approx((second.memory.at_us - (now - 15) * S) / length)

    one = entry(1, state="exited", Status="Exited (0) 1 second ago", StartedAt=iso(now - 3600))
    inspected = inspect_of(one, **gpus)
    inspected["State"]["FinishedAt"] = iso(now - 30)
    host.engine.answer(f"/containers/{one['Id']}/json", inspected)
    host.engine.answer("/containers/json?all=1", [one])
    before = from_json(to_json(second.memory._replace(at_us=(now - 60) * S)))
    third = host.read(before)
    (alice,) = third.work.gpus[uuid(0)]
    assert (alice.party, alice.is_holder) == ("alice", True)
    assert alice.held == pytest.approx(30 * S / (third.memory.at_us - (now - 60) * S))
    assert host.read(third.memory).work.gpus[uuid(0)] == ()


def test_a_silent_engine_costs_no_energy(host: Host) -> None:
    """Its containers are still there; whose they are is not known."""
    host.world.group(ALICE, 5)
    host.world.group(scope(2), 7)
    host.world.group("/", 100)
    first = host.read(at_s=100.0)
    host.engine.raw("/containers/json?all=1", b"nonsense")
    host.world.group(ALICE, 25)
    host.world.group(scope(2), 17)
    host.world.group("/", 200)
    second = host.read(first.memory, 160.0)
    assert {party: one.cpu_us for party, one in second.work.parties.items()} == {
        "alice": 20, UNATTRIBUTED: 10,
    }  # fmt: skip
    assert "docker" in {gap.source for gap in second.gaps if gap.kind == "failed"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_whose_a_container_is_stays_known(host: Host) -> None:
    """By the folders in it; without the engine's word, by what was found out before."""
    home = host.world.root / "home/carol"
    home.mkdir(parents=True)
    os.chown(home, 4005, 4005)
    mounts = [{"Type": "bind", "Source": "/home/carol", "Destination": "/work"}]
    host.world.group(scope(2), 0)
    host.world.group("/", 0)
    host.nvml.gpu(0).process(0, 10_002)
    host.contain((2, scope(2), {}), Mounts=mounts)
    first = host.read(at_s=100.0)
    assert first.memory.judged[ID(2)].party == "4005"
    assert [one.party for one in first.work.gpus[uuid(0)]] == ["4005"]
    host.world.group(scope(2), 20)
    second = host.read(from_json(to_json(first.memory)), 160.0)
    assert second.work.parties["4005"].cpu_us == 20
    assert [one.party for one in second.work.gpus[uuid(0)]] == ["4005"]
    assert second.memory.judged == first.memory.judged
    host.engine.raw("/containers/json?all=1", b"nonsense")
    host.world.group(scope(2), 50)
    third = host.read(second.memory, 220.0)
    assert third.work.parties["4005"].cpu_us == 30
    assert third.memory.judged == first.memory.judged


def test_a_container_that_was_started_anew_is_judged_anew(host: Host) -> None:
    host.world.group(ALICE, 0)
    host.contain((2, scope(2, ALICE), {}))
    first = host.read()
    host.contain((2, scope(2, ALICE), {}), Status="Up 1 second", StartedAt="2026-11-26T11:00:00Z")
    second = host.read(first.memory)
    assert first.memory.judged[ID(2)].party == second.memory.judged[ID(2)].party == "alice"
    assert first.memory.judged[ID(2)].state != second.memory.judged[ID(2)].state
    host.policy.write_text("monitoring:\n  infrastructure_containers: [c2]\n")
    assert host.read(second.memory).memory.judged[ID(2)].party == "_system"


def test_after_a_boot(host: Host) -> None:
    host.world.group(ALICE, 5_000_000)
    host.world.group("/", 9_000_000)
    first = host.read(at_s=5000.0)
    host.world.boot("0e5c6b3e-0000-4000-8000-000000000002")
    host.world.group(ALICE, 1_000_000)
    host.world.group("/", 2_000_000)
    host.nvml.gpu(0).process(0, 200)
    host.world.process(200, "/user.slice/user-4001.slice/session-3.scope", uid=4001)
    kept = GpuPast({200: "bob", 100: "bob"}, {"bob": GIB}, 5, {uuid(0): ("bob",)})
    work = host.read(first.memory._replace(gpus={uuid(0): kept}), 40.0).work
    assert [one.party for one in work.gpus[uuid(0)]] == ["4001"]
    assert (work.seconds, work.total and work.total.cpu_us) == (40, 2_000_000)
    assert work.parties["alice"].cpu_us == 1_000_000


def test_readings_feed_what_counts(host: Host) -> None:
    """From files to portions: all that was counted is somebody's, exactly."""
    host.world.zone("intel-rapl:0", "package-0", 0)
    host.world.group(ALICE, 0)
    host.world.group("/", 0)
    host.nvml.gpu(0, energy_mj=0).process(0, 100)
    host.contain((1, scope(1, ALICE), {}))
    host.world.process(100, scope(1, ALICE))
    first = host.read(at_s=100.0)
    host.world.zone("intel-rapl:0", "package-0", 3_000_000_001)
    host.world.group(ALICE, 30_000_000)
    host.world.group("/", 40_000_000)
    host.nvml.gpu(0, energy_mj=6_000_000).sample(0, 100, at=-S, sm=50)
    second = host.read(first.memory, 160.0)
    start = account({}, first.counters, first.work, SplitPolicy(), {}, at_s=first.at_s)
    found = account(
        start.last, second.counters, second.work, SplitPolicy(), start.pending, at_s=second.at_s
    )
    totals: dict[tuple[str, str], int] = {}
    for one in found.interval.portions:
        key = (one.component, one.party)
        totals[key] = totals.get(key, 0) + one.uj
    assert totals == {
        ("cpu", "alice"): 2_250_000_001,
        ("cpu", "_system"): 750_000_000,
        ("gpu", "alice"): 6_000_000_000,
    }


def test_readings_feed_what_projects_count(host: Host) -> None:
    """From labels to portions: alice's are shared out among her projects, bob's are as ever."""
    host.world.zone("intel-rapl:0", "package-0", 0)
    bob = ALICE.replace("alice", "bob")
    places = [(1, scope(1, ALICE)), (2, scope(2, ALICE)), (3, scope(3, bob)), (4, scope(4))]

    def use(alice: int, thesis: int, web: int, bobs: int) -> None:
        for path, us in ((ALICE, alice), (bob, bobs), (places[0][1], thesis), (places[1][1], web)):
            host.world.group(path, us)
        host.world.group(places[2][1], bobs)
        host.world.group(places[3][1], 0)
        host.world.group("/", alice + bobs)

    labels = [{"ds01.project": "thesis"}, {"com.docker.compose.project": "web"}, {}, {}]
    labels[3] = {"ds01.project": "nobody's"}
    entries = []
    for (number, path), said in zip(places, labels, strict=True):
        host.world.process(10_000 + number, path)
        running = {"state": "running", "Pid": 10_000 + number, "Labels": said}
        entries.append(entry(number, StartedAt="2026-11-26T10:00:00Z", **running))
        host.engine.answer(f"/containers/{ID(number)}/json", inspect_of(entries[-1]))
    host.engine.answer("/containers/json?all=1", entries)
    host.nvml.gpu(0, energy_mj=0)
    for number in (1, 2, 3):
        host.nvml.process(0, 10_000 + number)
    use(0, 0, 0, 0)
    first = host.read(at_s=100.0)
    host.world.zone("intel-rapl:0", "package-0", 4_000_000_000)
    use(30_000_000, 15_000_000, 5_000_000, 10_000_000)
    host.nvml.gpu(0, energy_mj=6_000_000)
    for number, sm in ((1, 30), (2, 10), (3, 20)):
        host.nvml.sample(0, 10_000 + number, at=-S, sm=sm)
    second = host.read(from_json(to_json(first.memory)), 160.0)
    assert second.work.parties["alice"].cpu_us == 30_000_000
    start = account({}, first.counters, first.work, SplitPolicy(), {}, at_s=first.at_s)
    found = account(start.last, second.counters, second.work, SplitPolicy(), {}, at_s=second.at_s)
    portions = {(one.component, one.party): one.uj // S for one in found.interval.portions}
    thesis, web = party_of("alice", "thesis"), party_of("alice", "web")
    assert portions == {
        ("cpu", "alice"): 1000,
        ("cpu", thesis): 1500,
        ("cpu", web): 500,
        ("cpu", "bob"): 1000,
        ("gpu", thesis): 3000,
        ("gpu", web): 1000,
        ("gpu", "bob"): 2000,
    }


def test_limits_of_the_policy(host: Host) -> None:
    host.policy.write_text("carbon:\n  max_watts:\n    package: 300\n    gpu: 700\n")
    host.world.zone("intel-rapl:0", "package-0", 0)
    host.nvml.gpu(0)
    assert [one.max_watts for one in host.read().counters] == [300.0, 700.0]
