"""`quota project` as far as it needs no quotas: the registry's files, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ds01ctl.act import project_registry
from ds01ctl.core import projects
from ds01ctl.core.projects import Texts, parse
from ds01ctl.errors import Ds01Error
from ds01ctl.observe import project_registry as reading
from ds01ctl.paths import Paths
from tests.cli.conftest import Host

NUMBER = 2_000_000
FOREIGN = "# by hand\n7:/srv/x\nsomebody's broken line\n"


@pytest.fixture
def registry(host: Host) -> Callable[[str, str], Host]:
    """Write both files, and give the host."""

    def write(projects_text: str, projid: str) -> Host:
        (host.root / "etc/projects").write_text(projects_text)
        (host.root / "etc/projid").write_text(projid)
        return host

    return write


def texts(host: Host) -> Texts:
    return reading.read(Paths(host.root))


def add(host: Host, name: str, number: int) -> None:
    def edit(before: Texts) -> tuple[Texts, None]:
        after = projects.with_name(before, name, number, None)
        return projects.with_tree(after, number, f"/{name}"), None

    project_registry.change(Paths(host.root), edit)


# --- reading by name ------------------------------------------------------------------------------


def test_names(registry: Callable[[str, str], Host]) -> None:
    """Of several lines of an id or a name the first counts, as for the tools."""
    host = registry(
        f"7:/srv/x\n{NUMBER}:/a\n{NUMBER}:/b\n{NUMBER}:/a\n9:/srv/nameless\nbroken\n",
        f"them:7\n# ds01ctl owner:ours:alice\nours:{NUMBER}\nalias:{NUMBER}\nours:8\nbare:11\n",
    )
    found = reading.names(Paths(host.root))
    assert found.names == {7: "them", NUMBER: "ours", 8: "ours", 11: "bare"}
    assert found.owners == {"ours": "alice"}
    assert found.trees == {"them": ("/srv/x",), "ours": ("/a", "/b"), "alias": ("/a", "/b")}
    assert found.gaps == ()


def test_names_where_there_is_no_registry(host: Host) -> None:
    assert reading.names(Paths(host.root)) == ({}, {}, {}, ())


@pytest.mark.parametrize("name", ["projects", "projid"])
def test_names_that_cannot_be_read(registry: Callable[[str, str], Host], name: str) -> None:
    """One that is there and cannot be read is a gap; the other is read."""
    host = registry("7:/srv/x\n", "them:7\n")
    path = host.root / "etc" / name
    path.unlink()
    path.mkdir()
    found = reading.names(Paths(host.root))
    (gap,) = found.gaps
    assert (gap.source, gap.kind) == ("quotas", "failed")
    assert gap.reason == f"/etc/{name} cannot be read: Is a directory"
    assert found.names == ({7: "them"} if name == "projects" else {})
    assert found.trees == {}


_AS_NOBODY = """
import os, sys
from pathlib import Path
from ds01ctl.observe import project_registry
from ds01ctl.paths import Paths
os.setgid(65534), os.setuid(65534)
(gap,) = project_registry.names(Paths(Path(sys.argv[1]))).gaps
print(gap.source, gap.kind, gap.reason)
"""


def test_names_that_may_not_be_read() -> None:
    """Told apart from what is broken: run it as root."""
    with tempfile.TemporaryDirectory(dir="/tmp") as root:
        Path(root).chmod(0o755)
        (Path(root) / "etc").mkdir()
        (Path(root) / "etc/projid").touch(0o600)
        argv = [sys.executable, "-c", _AS_NOBODY, root]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout == "quotas denied /etc/projid cannot be read: Permission denied\n"


# --- writing --------------------------------------------------------------------------------------


def test_foreign_lines_mode_and_owner_stay(registry: Callable[[str, str], Host]) -> None:
    host = registry(FOREIGN, "them:7\n")
    path = host.root / "etc/projects"
    path.chmod(0o640)
    os.chown(path, 12, 34)
    add(host, "ours", NUMBER)
    assert texts(host) == (f"{FOREIGN}{NUMBER}:/ours\n", f"them:7\nours:{NUMBER}\n")
    status = path.stat()
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o640, 12, 34)
    assert not list(path.parent.glob(".*"))


def test_links_are_followed(host: Host) -> None:
    """A link to a file kept elsewhere stays one."""
    real = host.root / "srv/config/projects"
    real.parent.mkdir(parents=True)
    real.write_text(FOREIGN)
    (host.root / "etc/projects").symlink_to("../srv/config/projects")
    add(host, "ours", NUMBER)
    assert (host.root / "etc/projects").is_symlink()
    assert real.read_text() == f"{FOREIGN}{NUMBER}:/ours\n"


def test_a_link_to_itself(host: Host) -> None:
    (host.root / "etc/projects").symlink_to("projects")
    with pytest.raises(Ds01Error, match=r"cannot read .*/etc/projects"):
        add(host, "ours", NUMBER)
    assert (host.root / "etc/projects").is_symlink()


_ADDER = """
import sys
from pathlib import Path
from ds01ctl.act import project_registry
from ds01ctl.core import projects
from ds01ctl.paths import Paths
root, begin = sys.argv[1], int(sys.argv[2])
for number in range(begin, begin + 10):
    def edit(before):
        after = projects.with_name(before, f"p{number}", number, None)
        return projects.with_tree(after, number, f"/t/{number}"), None
    project_registry.change(Paths(Path(root)), edit)
"""


def test_runs_at_once_lose_no_line(registry: Callable[[str, str], Host]) -> None:
    host = registry(FOREIGN, "them:7\n")
    running = [
        subprocess.Popen([sys.executable, "-c", _ADDER, str(host.root), str(NUMBER + 100 * each)])
        for each in range(6)
    ]
    assert [one.wait(60) for one in running] == [0] * 6
    found = parse(texts(host))
    wanted = {NUMBER + 100 * each + more for each in range(6) for more in range(10)} | {7}
    assert {one.id for one in found.names} == wanted
    assert {one.id for one in found.trees} == wanted
    assert texts(host).projects.startswith(FOREIGN)


def test_an_editor_at_the_same_moment_loses_nothing(registry: Callable[[str, str], Host]) -> None:
    """What is saved between our look and our write is read anew."""
    host = registry("", "")
    path = host.root / "etc/projid"
    calls = []

    def edit(before: Texts) -> tuple[Texts, None]:
        calls.append(before)
        if len(calls) == 1:
            path.write_text("theirs:9\n")
        return projects.with_name(before, "ours", NUMBER, None), None

    project_registry.change(Paths(host.root), edit)
    assert path.read_text() == f"theirs:9\nours:{NUMBER}\n"
    assert len(calls) == 2


_FULL = f"""
import sys
from pathlib import Path
from ds01ctl.act import project_registry
from ds01ctl.core import projects
from ds01ctl.errors import Ds01Error
from ds01ctl.paths import Paths
edit = lambda before: (projects.with_name(before, "ours", {NUMBER}, None), None)
try:
    project_registry.change(Paths(Path(sys.argv[1])), edit)
except Ds01Error as error:
    sys.exit(error.message)
"""


def test_the_disk_is_full(registry: Callable[[str, str], Host]) -> None:
    """The old files are whole, and nothing is left lying about."""
    host = registry(FOREIGN, "them:7\n")
    # so that the lock is there
    (host.root / "run/ds01").mkdir()
    done = subprocess.run(
        ["sh", "-c", 'ulimit -f 0; trap "" XFSZ; exec "$@"', "sh",
         sys.executable, "-c", _FULL, str(host.root)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr
    assert texts(host) == (FOREIGN, "them:7\n")
    assert sorted(one.name for one in (host.root / "etc").iterdir()) == [
        "ds01",
        "projects",
        "projid",
    ]


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["create", "a", "tree"], "is no absolute path"),
        (["create", "a", "/"], "/ cannot be a project"),
        (["create", "a", "//"], "/ cannot be a project"),
        (["create", "a", "/srv/.."], "/ cannot be a project"),
        (["create", "12", "/srv/a"], "cannot be the name of a project"),
        (["create", "a:b", "/srv/a"], "cannot be the name of a project"),
        (["create", "a\nb", "/srv/a"], "cannot be the name of a project"),
        (["create", "a", "/srv/a\n7:/srv/b"], "is no absolute path"),
        (["create", "a", "/srv/x/inside"], "/srv/x is of project them (/etc/projects:2)"),
        (["create", "a", "/srv/x"], "/srv/x is of project them"),
        (["create", "a", "/srv"], "/srv/x is of project them"),
        (["create", "them", "/srv/y"], "project them is someone else's: its id, 7, is not one of"),
        (["create", "a", "/var/lib/docker"], "is Docker's data root"),
        (["create", "a", "/var/lib"], "holds Docker's data root"),
        (["create", "a", "/var/lib/docker/overlay2/x"], "lies in Docker's data root"),
        (["create", "ours", "/srv/other"], "project ours is /srv/ours already"),
        (["create", "a", "/srv/a", "--owner", "no-such-user-here"], "there is no such user"),
        (["create", "a", "/srv/a", "--owner", "a:b"], "cannot be a login"),
        (["remove", "nobody", "--yes"], "there is no project nobody"),
        (["remove", "them", "--yes"], "is someone else's"),
        (["remove", "ours"], "nobody can be asked here"),
        (["check", "nobody"], "there is no project nobody"),
        (["volumes"], "nobody can be asked here"),
    ],
)
def test_refused(registry: Callable[[str, str], Host], arguments: list[str], told: str) -> None:
    host = registry(f"{FOREIGN}{NUMBER}:/srv/ours\n", f"them:7\nours:{NUMBER}\n")
    (host.root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (host.root / "etc/nsswitch.conf").write_text("passwd: files\n")
    before = texts(host)
    ran = host.run("quota", "project", *arguments)
    assert ran.status == 2, ran.err
    assert told in ran.err
    assert texts(host) == before


def test_without_project_quota(registry: Callable[[str, str], Host]) -> None:
    host = registry(FOREIGN, "them:7\n")
    (host.root / "srv/a").mkdir(parents=True)
    ran = host.run("quota", "project", "create", "a", "/srv/a")
    assert ran.status == 1
    assert "/srv/a: no project quota on" in ran.err
    assert "ds01ctl doctor" in ran.err
    ran = host.run("quota", "project", "create", "a", "/srv/missing")
    assert ran.status == 1
    assert "no such folder" in ran.err
    assert texts(host) == (FOREIGN, "them:7\n")


# --- list, check, remove --------------------------------------------------------------------------


def test_list(registry: Callable[[str, str], Host]) -> None:
    owner = "# ds01ctl owner:ours:alice\n"
    host = registry(f"{FOREIGN}{NUMBER}:/srv/ours\n", f"them:7\n{owner}ours:{NUMBER}\n")
    data = host.json("quota", "project", "list")["data"]
    shown = [(one["name"], one["id"], one["owner"], one["is_foreign"]) for one in data["projects"]]
    assert shown == [("them", 7, None, True), ("ours", NUMBER, "alice", False)]
    assert data["broken_lines"] == ["/etc/projects:3: has no colon; expected ID:/path"]
    ran = host.run("quota", "project", "list")
    assert "them (foreign)" in ran.out
    assert "warning: /etc/projects:3" in ran.out


def test_list_nothing(host: Host) -> None:
    assert "there is no project; make one with" in host.run("quota", "project", "list").out


def test_the_policy_says_whose_a_project_is(registry: Callable[[str, str], Host]) -> None:
    host = registry(f"{NUMBER}:/srv/ours\n", f"# ds01ctl owner:ours:alice\nours:{NUMBER}\n")
    host.policy("quota:\n  projects:\n    ours: {path: /srv/ours, owner: bob, soft: 1T}\n")
    (row,) = host.json("quota", "project", "list")["data"]["projects"]
    assert row["owner"] == "bob"


def test_check(registry: Callable[[str, str], Host]) -> None:
    host = registry(f"{FOREIGN}{NUMBER}:/srv/ours\n", f"them:7\nours:{NUMBER}\nother:{NUMBER}\n")
    document = host.json("quota", "project", "check", "--exit-code", status=4)
    found = {one["kind"] for one in document["findings"]}
    assert found == {"project-broken-line", "project-id-twice", "project-foreign",
                     "project-path-missing"}  # fmt: skip
    ran = host.run("quota", "project", "check", "ours")
    assert ran.status == 0
    assert "/srv/ours is not there" in ran.out
    assert "broken" not in ran.out


def test_remove_what_has_no_tree_any_more(registry: Callable[[str, str], Host]) -> None:
    """The lines go, all others stay, and an event tells of it."""
    host = registry(f"{FOREIGN}{NUMBER}:/srv/ours\n", f"them:7\nours:{NUMBER}\n")
    ran = host.run("quota", "project", "remove", "ours", "--dry-run")
    assert ran.status == 0
    assert "nothing was changed yet" in ran.out
    document = host.json("quota", "project", "remove", "ours", "--yes")
    assert [(one["kind"], one["outcome"]) for one in document["actions"]] == [
        ("untag-tree", "skipped"),
        ("unregister-project", "done"),
    ]
    assert texts(host) == (FOREIGN, "them:7\n")
    (event,) = host.events()
    assert event["event_type"] == "quota.project"
    assert event["details"]["project"] == "ours"
    assert event["details"]["action"] == "remove"


@pytest.mark.parametrize(("keys", "is_gone"), [("y\n", True), ("n\n", False)])
def test_remove_asks(registry: Callable[[str, str], Host], keys: str, is_gone: bool) -> None:
    host = registry(f"{NUMBER}:/srv/ours\n", f"ours:{NUMBER}\n")
    shown = host.on_terminal("quota", "project", "remove", "ours", keys=keys)
    assert "would unregister ours" in shown
    assert ("ours" not in texts(host).projid) is is_gone


@pytest.mark.parametrize("lock", ["quota", "quota-project-ours"])
def test_a_project_that_is_being_worked_on(registry: Callable[[str, str], Host], lock: str) -> None:
    from ds01ctl.lock import job_lock

    host = registry(f"{NUMBER}:/srv/ours\n", f"ours:{NUMBER}\n")
    with job_lock(Paths(host.root), lock):
        ran = host.run("quota", "project", "remove", "ours", "--yes")
    assert ran.status == 5
    assert f"pid {os.getpid()}" in ran.err
    assert parse(texts(host)).id_of("ours") == NUMBER


def test_volumes_without_docker(host: Host) -> None:
    ran = host.run("quota", "project", "volumes", "--yes")
    assert ran.status == 1
    assert "volumes could not be listed" in ran.err


def test_the_registry_cannot_be_read(host: Host) -> None:
    (host.root / "etc/projects").mkdir()
    ran = host.run("quota", "project", "list")
    assert ran.status == 1
    assert "cannot read" in ran.err


def test_an_unknown_path_stays_inside_the_root(host: Host) -> None:
    assert not Path("/srv/ours").exists()
    assert host.run("quota", "project", "list").status == 0
