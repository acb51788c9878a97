"""Users who pull, tag, create and start while root cleans up: none of them loses what he uses."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.host.test_units import PLACE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.host.host import Host

# seconds: an image goes 7 s after its last use, a container 3 s after it was made, or stopped
POLICY = """\
default_group: student
defaults: {container_hold_after_stop_h: 0.0008}
policies: {created_container_timeout_m: 0.05}
cleanup:
  mode: enforce
  unowned: act
  breaker: {after_boot_m: 0, after_upgrade_m: 0, max_share: null, max_users: null}
  images: {max_unused_d: 0.00008, min_age_h: 0.0008, min_age_unseen_h: 0.0008,
    keep_per_repository: 0, keep: [ds01/*]}
docker: {timeout_s: 60}
"""
LIMIT_S = 2.8
RACES = int(os.environ.get("DS01_HOST_RACES", "12"))
"""``DS01_HOST_RACES=200`` by hand: some minutes."""
GUEST = "/root/races"
APPLY = "cleanup apply --only images,created,stopped --yes --json"


@pytest.fixture
def site(host: Host, ds01ctl: str) -> Iterator[Host]:
    """The host with a policy that wants to be rid of everything."""
    host.put(POLICY, PLACE)
    host.put(Path(__file__).parent / "guest", GUEST)
    host.ok(f"{ds01ctl} {APPLY}")
    yield host
    host.run(
        "docker ps -aq | xargs -r docker rm -f; docker images -q 'race/*' | xargs docker rmi -f"
    )
    host.run(f"rm -rf /etc/ds01 /var/lib/ds01 /var/log/ds01 /run/ds01 {GUEST}")


def outcome(race: dict[str, Any]) -> str:
    """Say how a race ended: by what the user was kept from, and whether that is as it should be."""
    made_at = None
    for step in race["steps"]:
        what, error = step["what"], step["error"] or ""
        if error:
            is_gone = "No such" in error
            is_old = made_at is not None and step["begin"] - made_at > LIMIT_S
            if is_gone and (what in {"tag", "create of old"} or is_old):
                return "gone before"
            return f"FAULT {what}: {error}"
        if what in {"create", "create of old", "first start"}:
            made_at = step["end"]
    return "used"


def cleaned(host: Host, ds01ctl: str) -> dict[str, Any]:
    """Run cleanup once; an engine that is slow is all that may keep it from anything."""
    ran = host.run(f"{ds01ctl} {APPLY}", timeout_s=600)
    assert ran.status in {0, 3}, ran.out + ran.err
    assert "Traceback" not in ran.err
    document = dict(json.loads(ran.out))
    failed = [one["error"] for one in document["actions"] if one["outcome"] == "failed"]
    assert all("no answer in time" in one for one in failed), failed
    return document


def test_races_of_users_against_cleanup(site: Host, ds01ctl: str) -> None:
    host = site
    users = host.start(
        f"/opt/ds01ctl/bin/python {GUEST}/races.py {RACES} {min(RACES, 6)} {GUEST}/record"
    )
    runs = []
    while users.poll() is None:
        runs.append(cleaned(host, ds01ctl))
    # and once more: what an engine gave no answer of is settled
    runs.append(cleaned(host, ds01ctl))
    said, _ = users.communicate()
    assert users.returncode == 0, said.decode()

    races = json.loads(host.get(f"{GUEST}/record"))
    ends = Counter(f"{race['kind']}: {outcome(race)}" for race in races)
    deeds = Counter(f"{one['kind']} {one['outcome']}" for run in runs for one in run["actions"])
    why = Counter(
        one["error"]
        for run in runs
        for one in run["actions"]
        if one["outcome"] in {"failed", "skipped"}
    )
    print(len(races), "races:", *sorted(ends.items()), sep="\n  ")
    print(len(runs), "runs:", *sorted(deeds.items()), *why.most_common(), sep="\n  ")
    assert deeds["remove-image done"]
    assert deeds["remove-container done"] or RACES < 100
    assert any(end.endswith("used") for end in ends)
    assert not [end for end in ends if "FAULT" in end]
    # whatever was held is gone, or has its name again
    assert "ds01-cleanup" not in host.ok("docker images")
