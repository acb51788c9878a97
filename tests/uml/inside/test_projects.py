"""Projects on real XFS and ext4: tags, strays, the border, kill -9, races, Docker's volumes."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ds01ctl import cli
from ds01ctl.act.project_tags import tag, untag
from ds01ctl.core.projects import Texts, parse
from ds01ctl.errors import Ds01Error
from ds01ctl.fsxattr import Tag, get_tag, set_tag
from ds01ctl.lock import job_lock
from ds01ctl.observe import project_tags
from ds01ctl.paths import Paths
from tests.observe.stub_engine import StubEngine
from tests.uml.inside.conftest import PROGRAM, as_user, call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.uml.inside.conftest import Done

    Run = Callable[..., Done]

BASES = ("/home", "/scratch")
FIRST, LAST = 2_000_000, 2_999_999
OURS = range(FIRST, LAST + 1)


@pytest.fixture(params=BASES)
def base(request: pytest.FixtureRequest) -> Path:
    """A folder of the test's own on each file system."""
    name = request.node.name.replace("[", "-").replace("/", "").rstrip("]")
    made = Path(request.param, name)
    made.mkdir()
    made.chmod(0o755)
    return made


@pytest.fixture(autouse=True)
def _clean() -> None:
    """Begin with an empty registry."""
    for name in ("/etc/projects", "/etc/projid"):
        Path(name).unlink(missing_ok=True)


def project(*argv: str, status: int = 0) -> dict[str, Any]:
    """Run a command in this process, which saves a second each, and give its document."""
    out = io.StringIO()
    with redirect_stdout(out):
        found = cli.run(["quota", "project", *argv, "--json"])
    assert found == status, out.getvalue()
    document: dict[str, Any] = json.loads(out.getvalue())
    return document


def fill(root: Path, folders: int = 4, files: int = 5) -> None:
    for number in range(folders):
        (root / f"d{number}" / "deep").mkdir(parents=True)
        for name in range(files):
            (root / f"d{number}" / f"f{name}").write_text("x")
            (root / f"d{number}" / "deep" / f"g{name}").write_text("y")


def tag_of(path: Path) -> Tag:
    fd = os.open(path, os.O_RDONLY)
    try:
        return get_tag(fd)
    finally:
        os.close(fd)


def set_on(path: Path, number: int, *, inherit: bool = False) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        set_tag(fd, Tag(number, inherit))
    finally:
        os.close(fd)


def everything(root: Path) -> list[Path]:
    inside = [path for path in root.rglob("*") if not path.is_symlink()]
    return [root, *(path for path in inside if path.is_file() or path.is_dir())]


def is_tagged(root: Path, number: int) -> bool:
    """Ask the kernel, of each file, and whether folders pass it on."""
    inherits = number != 0
    return all(tag_of(path) == Tag(number, path.is_dir() and inherits) for path in everything(root))


def registry() -> Any:
    texts = [Path(name).read_text() if Path(name).exists() else "" for name in
             ("/etc/projects", "/etc/projid")]  # fmt: skip
    return parse(Texts(*texts))


# --- create ---------------------------------------------------------------------------------------


def test_create_tags_all_and_what_comes_later(base: Path) -> None:
    tree = base / "tree"
    fill(tree)
    (tree / "link").symlink_to("/etc/passwd")
    os.mkfifo(tree / "fifo")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tree / "sock"))
    data = project("create", "vision", str(tree))["data"]
    number = data["project"]["id"]
    assert number == FIRST
    assert Path("/etc/projects").read_text() == f"{number}:{tree}\n"
    assert Path("/etc/projid").read_text() == f"vision:{number}\n"
    # tree, 4 d, 4 deep, 40 files
    assert data["trees"][0]["changed"] == 49
    assert data["trees"][0]["untaggable"] == {"fifos": 1, "sockets": 1, "symlinks": 1}
    assert any("EXDEV" in note for note in data["notes"])
    assert tag_of(tree) == Tag(number, is_inherited=True)
    (tree / "fifo").unlink()
    assert is_tagged(tree, number)
    (tree / "d0/new").mkdir()
    (tree / "d0/new/file").write_text("z")
    assert is_tagged(tree, number)
    # the tools of the kernel's own people see the same
    if base.parts[1] == "home":
        told = call("xfs_quota", "-x", "-c", "project -c vision", "/home")
        lines = [line for line in told.stdout.splitlines() if "identifier" in line]
        assert [line for line in lines if "sock" not in line and "link" not in line] == []
    used = call("repquota", "-P", "-v", "-n", "-O", "csv", f"/{base.parts[1]}").stdout
    assert f"#{number}," in used
    again = project("create", "vision", str(tree))["data"]["trees"][0]
    assert (again["changed"], again["unchanged"]) == (0, 51)


def test_the_border(base: Path) -> None:
    """Rename and link into a project fail with EXDEV; out of it they succeed, and make a stray."""
    tree, outside = base / "tree", base / "outside"
    fill(tree)
    outside.mkdir()
    (outside / "file").write_text("x")
    (outside / "folder").mkdir()
    number = project("create", "border", str(tree))["data"]["project"]["id"]
    for name in ("file", "folder"):
        with pytest.raises(OSError, match="cross-device") as caught:
            (outside / name).rename(tree / name)
        assert caught.value.errno == errno.EXDEV
    with pytest.raises(OSError, match="cross-device"):
        (tree / "linked").hardlink_to(outside / "file")
    (tree / "d0/f0").rename(outside / "taken")
    assert tag_of(outside / "taken").project_id == number


def test_hard_links_outside_are_told(base: Path) -> None:
    tree = base / "tree"
    fill(tree)
    (base / "outside").hardlink_to(tree / "d0/f0")
    (tree / "inside").hardlink_to(tree / "d0/f1")
    data = project("create", "links", str(tree))["data"]
    assert data["trees"][0]["linked_outside"] == 1
    assert data["trees"][0]["linked_examples"] == ["d0/f0"]
    assert "have hard links outside" in " ".join(data["notes"])


def test_mounts_are_not_entered(base: Path) -> None:
    """Neither of another file system nor of this one."""
    tree, aside = base / "tree", base / "aside"
    fill(tree)
    fill(aside)
    for name in ("other", "same"):
        (tree / name).mkdir()
    assert call("mount", "-t", "tmpfs", "none", str(tree / "other")).status == 0
    assert call("mount", "--bind", str(aside), str(tree / "same")).status == 0
    try:
        data = project("create", "mounts", str(tree))["data"]
        assert sorted(data["trees"][0]["mounts"]) == ["other", "same"]
        assert is_tagged(aside, 0)
    finally:
        call("umount", str(tree / "other"))
        call("umount", str(tree / "same"))


def test_a_tree_of_any_depth(base: Path) -> None:
    """Deeper than a path can be, and than files may be open."""
    tree = base / "tree"
    tree.mkdir()
    here = os.open(tree, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("0123", dir_fd=here)
        os.mkdir("beside", dir_fd=here)
        inner = os.open("0123", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    data = project("create", "deep", str(tree))["data"]
    assert data["trees"][0]["changed"] == 1 + 2 * 1500 + 1
    assert data["trees"][0]["failed"] == 0
    assert get_tag(here) == Tag(data["project"]["id"], is_inherited=True)
    fd = os.open("file", os.O_RDONLY, dir_fd=here)
    assert get_tag(fd).project_id == data["project"]["id"]
    os.close(fd)
    os.close(here)


@pytest.mark.parametrize(
    ("folder", "told"), [("/plain/x", "project quota"), ("/plainxfs/x", "pquota")]
)
def test_without_project_quota_it_says_why(ds01ctl: Run, folder: str, told: str) -> None:
    Path(folder).mkdir(exist_ok=True)
    done = ds01ctl("quota", "project", "create", "nowhere", folder)
    assert done.status == 1
    assert f"no project quota on {folder[:-2]}" in done.stderr
    assert told in done.stderr
    assert not registry().names


def test_ids_of_others_are_not_taken() -> None:
    """Neither one in the kernel's records, nor one in a file, nor Docker's."""
    root, first = Path("/home/ids"), 2_100_000
    for name in ("used", "a", "b", "docker/overlay2/l1/diff", "docker/volumes"):
        (root / name).mkdir(parents=True)
    policy, config = Path("/etc/ds01/resource-limits.yaml"), Path("/etc/docker/daemon.json")
    for path in (policy, config):
        path.parent.mkdir(exist_ok=True)
    policy.write_text(f"quota: {{project_ids: {first}-2399999}}\n")
    config.write_text(json.dumps({"data-root": str(root / "docker")}))
    set_on(root / "used", first)
    Path("/etc/projid").write_text(f"someone:{first + 1}\n")
    try:
        assert project("create", "a", str(root / "a"))["data"]["project"]["id"] == first + 2
        set_on(root / "docker/overlay2", first + 2)
        found = project("create", "b", str(root / "b"))["data"]["project"]["id"]
        assert found == first + 2 + 100_001
        clashes = clashes_in(project("check"))
        assert clashes == []
        set_on(root / "docker/overlay2/l1", found)
        assert clashes_in(project("check")) == ["b"]
    finally:
        config.unlink()
        policy.unlink()


def clashes_in(document: dict[str, Any]) -> list[str]:
    found = [one for one in document["findings"] if one["kind"] == "project-id-of-docker"]
    return [one["subject"]["name"] for one in found]


# --- strays ---------------------------------------------------------------------------------------


def test_every_planted_stray_is_found(base: Path) -> None:
    tree = base / "tree"
    fill(tree, folders=30, files=10)
    number = project("create", "strays", str(tree))["data"]["project"]["id"]
    assert project("check", "strays")["findings"] == []
    planted = {}
    for index in range(0, 30, 3):
        planted[f"d{index}/f3"] = (0, False)
        planted[f"d{index}/deep/g7"] = (FIRST + 77, False)
        planted[f"d{index}/deep"] = (number, False)
    planted["d1"] = (0, True)
    for name, (id_, inherit) in planted.items():
        set_on(tree / name, id_, inherit=inherit)
    # a file that came in where a folder did not pass its id on
    (tree / "d0/deep/made-later").write_text("x")
    planted["d0/deep/made-later"] = (0, False)
    document = project("check", "strays", "--exit-code", status=4)
    (finding,) = document["findings"]
    assert finding["kind"] == "project-strays"
    assert f"create strays {tree}" in finding["subject"]["fix"]
    strays = {one["path"] for one in document["data"]["trees"][0]["strays"]}
    assert strays == set(planted)
    mended = project("create", "strays", str(tree))["data"]["trees"][0]
    assert mended["changed"] == len(planted)
    assert is_tagged(tree, number)
    assert project("check")["findings"] == []


def test_projects_of_others_are_left_alone(base: Path) -> None:
    """Files in a project of somebody else's stay in it, on the way in and on the way out."""
    tree = base / "tree"
    fill(tree)
    theirs = {tree / "d1/f1": Tag(4711, False), tree / "d2/deep": Tag(4711, True)}
    for path, tagged in theirs.items():
        set_on(path, tagged.project_id, inherit=tagged.is_inherited)
    set_on(tree / "d3/f3", FIRST + 500)
    created = project("create", "guest", str(tree))
    number = created["data"]["project"]["id"]
    assert (created["data"]["trees"][0]["changed"], created["data"]["trees"][0]["foreign"]) == (
        47,
        2,
    )
    assert created["data"]["notes"][0] == "2 are in another project, and were left in it"
    assert created["actions"][1]["reason"].endswith(", 2 of another project left alone")
    assert {path: tag_of(path) for path in theirs} == theirs
    assert tag_of(tree / "d3/f3").project_id == number
    (finding,) = project("check", "guest")["findings"]
    assert "d1/f1: has id 4711, somebody else's, and is left in it" in finding["evidence"]
    assert "someone else" in finding["subject"]["fix"]
    removed = project("remove", "guest", "--yes")["data"]["trees"][0]
    assert (removed["changed"], removed["foreign"]) == (47, 2)
    assert {path: tag_of(path) for path in theirs} == theirs


def test_one_at_a_time_with_the_limits(base: Path, ds01ctl: Run) -> None:
    """While `quota apply` or `quota set` is at it, no project comes or goes."""
    tree = base / "tree"
    fill(tree)
    with job_lock(Paths(), "quota"):
        done = ds01ctl("quota", "project", "create", "waits", str(tree))
    assert done.status == 5
    assert not registry().names
    assert is_tagged(tree, 0)


# --- kill -9 --------------------------------------------------------------------------------------

KILL_AT = """
import os, signal, sys
count = 0
def hook(event, args):
    global count
    if event == "fcntl.ioctl" and args[1] == 0x401C5820:
        count += 1
        if count == int(os.environ["KILL_AT"]):
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
from ds01ctl import __main__
__main__.main()
"""


@pytest.mark.parametrize("at", [1, 30])
def test_killed_in_the_middle_it_goes_on(base: Path, at: int) -> None:
    """What was tagged before is not written again, and nothing is left out."""
    tree = base / f"tree{at}"
    fill(tree)
    argv = [sys.executable, "-c", KILL_AT, "quota", "project", "create", f"killed{at}", str(tree)]
    killed = subprocess.run(
        argv, env={**os.environ, "KILL_AT": str(at)}, capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    number = registry().id_of(f"killed{at}")
    tagged = sum(tag_of(path).project_id == number for path in everything(tree))
    assert tagged == at - 1
    rest = project("create", f"killed{at}", str(tree))["data"]
    assert rest["project"]["id"] == number
    assert (rest["trees"][0]["changed"], rest["trees"][0]["unchanged"]) == (49 - tagged, tagged)
    assert is_tagged(tree, number)
    # and the same on the way back
    argv = [sys.executable, "-c", KILL_AT, "quota", "project", "remove", f"killed{at}", "--yes"]
    subprocess.run(argv, env={**os.environ, "KILL_AT": str(at)}, capture_output=True, check=False)
    assert registry().id_of(f"killed{at}") == number
    project("remove", f"killed{at}", "--yes")
    assert is_tagged(tree, 0)
    assert not registry().names
    assert not registry().trees


# --- remove ---------------------------------------------------------------------------------------


def test_remove_takes_tags_limits_and_lines_away(base: Path, ds01ctl: Run) -> None:
    tree = base / "tree"
    fill(tree)
    foreign = "# mine\n7:/srv/x\nbroken line"
    Path("/etc/projects").write_text(foreign)
    number = project("create", "gone", str(tree))["data"]["project"]["id"]
    set_on(tree / "d1/f1", 4711)
    mount = f"/{base.parts[1]}"
    assert call("setquota", "-P", str(number), "1000", "2000", "10", "200", mount).status == 0
    rows = {row["name"]: row for row in project("list")["data"]["projects"]}
    (use,) = rows["gone"]["uses"]
    assert (use["soft_bytes"], use["hard_bytes"]) == (1000 * 1024 // 4096 * 4096, 2000 * 1024)
    assert use["used_inodes"] == 48
    dry = project("remove", "gone", "--dry-run")["actions"]
    kinds = ["untag-tree", "take-limits", "unregister-project"]
    assert [(one["kind"], one["outcome"]) for one in dry] == [(one, "planned") for one in kinds]
    before = {path: path.read_bytes() for path in everything(tree) if path.is_file()}
    assert ds01ctl("quota", "project", "remove", "gone").status == 2
    done = project("remove", "gone", "--yes")
    assert [one["outcome"] for one in done["actions"]] == ["done"] * 3
    assert done["data"]["trees"][0]["foreign"] == 1
    assert done["data"]["notes"][0].startswith("1 are in another project")
    assert tag_of(tree / "d1/f1").project_id == 4711
    set_on(tree / "d1/f1", 0)
    assert is_tagged(tree, 0)
    assert {path: path.read_bytes() for path in before} == before
    assert Path("/etc/projects").read_text().startswith(foreign)
    assert not registry().ids() - {7}
    told = call("repquota", "-P", "-n", "-v", "-O", "csv", mount).stdout
    left = [line for line in told.splitlines() if line.startswith(f"#{number},")]
    # used and limits: nothing; repquota shows a record with limits even without use
    assert all(set(line.split(",")[3:6]) <= {"0"} for line in left), left


def test_keep_tags(base: Path) -> None:
    tree = base / "tree"
    fill(tree)
    number = project("create", "kept", str(tree))["data"]["project"]["id"]
    project("remove", "kept", "--keep-tags", "--yes")
    assert is_tagged(tree, number)
    assert not registry().names
    # the id is in use still: another project does not get it
    (base / "next").mkdir()
    found = project("create", "next", str(base / "next"))["data"]["project"]["id"]
    assert found != number
    untag(str(tree), number)
    untag(str(base / "next"), found)


# --- races ----------------------------------------------------------------------------------------


def test_a_user_cannot_lead_us_out_of_the_tree(base: Path) -> None:
    """A folder and a file are swapped for links to somebody else's, all the while."""
    tree, victim = base / "tree", base / "victim"
    fill(tree, folders=12)
    fill(victim)
    os.chown(tree, 1000, 1000)
    for path in tree.iterdir():
        os.chown(path, 1000, 1000)

    def move(one: Path, other: Path) -> None:
        while True:
            # while a tree is half tagged, there is a border in its midst
            with suppress(OSError):
                one.rename(other)
                return

    def swap() -> None:
        while True:
            for name in ("d3", "d7/f2", "d11"):
                path = tree / name
                aside = path.with_name(f"aside-{path.name}")
                move(path, aside)
                path.symlink_to(victim if name != "d7/f2" else victim / "d0/f0")
                path.unlink()
                move(aside, path)

    swapping = os.fork()
    if not swapping:
        try:
            swap()
        finally:
            os._exit(1)
    try:
        changed = [
            tag(str(tree), number, OURS).changed for number in range(FIRST + 500, FIRST + 512)
        ]
    finally:
        os.kill(swapping, signal.SIGKILL)
        os.waitpid(swapping, 0)
    assert is_tagged(victim, 0)
    # nothing of the tree was missed, though it moved about: the border held it where it was
    assert is_tagged(tree, FIRST + 511)
    assert set(changed) == {1 + 12 * 12}
    untag(str(tree), FIRST + 511)


def test_a_link_on_the_way_is_refused(base: Path, ds01ctl: Run) -> None:
    """What was a folder when it was registered and is a link now is not followed."""
    tree, victim = base / "of-user" / "tree", base / "victim"
    fill(tree)
    fill(victim)
    project("create", "swapped", str(tree))
    (base / "of-user").rename(base / "aside")
    (base / "of-user").symlink_to(base / "victim-above")
    (base / "victim-above").mkdir()
    victim.rename(base / "victim-above" / "tree")
    done = ds01ctl("quota", "project", "remove", "swapped", "--yes", "--json")
    assert done.status == 3
    assert "link" in done.stdout
    assert registry().id_of("swapped") is not None
    (base / "of-user").unlink()
    (base / "aside").rename(base / "of-user")
    project("remove", "swapped", "--yes")
    assert is_tagged(tree, 0)


def test_not_root(base: Path) -> None:
    tree = base / "tree"
    fill(tree)

    def try_it() -> None:
        with pytest.raises(Ds01Error, match="not permitted") as caught:
            tag(str(tree), FIRST, OURS)
        assert caught.value.hint == "run it as root"

    assert as_user(1000, try_it) == 0
    assert is_tagged(tree, 0)


def test_an_owner_can_take_files_out(base: Path) -> None:
    """The kernel lets him; so it has to be looked for."""
    tree = base / "tree"
    fill(tree)
    os.chown(tree / "d0/f0", 1000, 1000)
    number = project("create", "leaky", str(tree))["data"]["project"]["id"]
    assert as_user(1000, lambda: set_on(tree / "d0/f0", 0)) == 0
    (finding,) = project("check", "leaky")["findings"]
    assert "d0/f0: is in no project" in finding["evidence"]
    project("remove", "leaky", "--yes")
    assert number not in registry().ids()


# --- Docker's volumes -----------------------------------------------------------------------------


def volume(root: Path, name: str, label: str | None = None, **more: Any) -> dict[str, Any]:
    return {"Name": name, "Driver": "local", "Mountpoint": f"{root}/volumes/{name}/_data",
            "Labels": {"ds01.user": label} if label else None, "Options": None, **more}  # fmt: skip


@pytest.fixture
def docker(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[StubEngine, Path]]:
    """A stub of an engine with volumes of several people."""
    root = base / "docker"
    passwd = Path("/etc/passwd")
    before = passwd.read_text()
    passwd.write_text(f"{before}alice:x:4001:4001::/:/bin/sh\nbob@uni:x:4002:4002::/:/bin/sh\n")
    owners = {
        "label": [0, 4001], "files": [4001, 0, 33], "bobs": [4002], "nobodys": [0],
        "both": [4001, 4002], "lies": [4001], "ghost": [4999], "options": [4001], "plugin": [4001],
        "words": [0], "image": [1000],
    }  # fmt: skip
    for name, uids in owners.items():
        for uid in uids:
            path = root / "volumes" / name / "_data" / f"f{uid}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
            os.chown(path, uid, uid)
    engine = StubEngine(tmp_path)
    engine.answer("/info", {"DockerRootDir": str(root)})
    volumes = [
        volume(root, "label", "alice"), volume(root, "files"), volume(root, "bobs"),
        volume(root, "nobodys"), volume(root, "both"), volume(root, "lies", "bob@uni"),
        volume(root, "ghost"), volume(root, "options", Options={"type": "nfs"}),
        volume(root, "plugin", Driver="weka"), volume(root, "words", "alice"),
        volume(root, "image"),
    ]  # fmt: skip
    engine.answer("/volumes", {"Volumes": volumes, "Warnings": None})
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    yield engine, root
    engine.stop()
    passwd.write_text(before)


def test_volumes(docker: tuple[StubEngine, Path], ds01ctl: Run) -> None:
    engine, root = docker
    planned = project("volumes", "--dry-run")
    names = {Path(one["target"]).name for one in planned["actions"]}
    assert names == {"label", "files", "bobs"}
    assert not registry().trees
    assert ds01ctl("quota", "project", "volumes").status == 2
    done = project("volumes", "--yes")
    assert {one["outcome"] for one in done["actions"]} == {"done"}
    left = {one["volume"]: one["reason"] for one in done["data"]["left_alone"]}
    others = {"nobodys", "both", "lies", "ghost", "options", "plugin"}
    assert set(left) == others | {"words", "image"}
    assert "a label alone accuses nobody" in left["words"]
    assert "most images" in left["image"]
    assert "several people" in left["both"]
    assert "files of alice are in it" in left["lies"]
    found = registry()
    alice, bob = found.id_of("volumes-alice"), found.id_of("volumes-uid-4002")
    # from the end of the range: Docker goes on above what it finds on them
    assert {alice, bob} == {LAST, LAST - 1}
    assert project_tags.docker_ids(str(root)).ranges()[-1][0] == LAST + 1
    for name, number in (("label", alice), ("files", alice), ("bobs", bob)):
        assert is_tagged(root / "volumes" / name, number)
    for name in left:
        assert is_tagged(root / "volumes" / name, 0)
    again = project("volumes", "--yes")
    assert again["actions"] == []
    assert again["data"]["unchanged"] == ["bobs", "files", "label"]
    assert not [one for one in project("check")["findings"] if one["severity"] != "info"]
    # a volume that Docker has removed is forgotten
    call("rm", "-rf", str(root / "volumes/label"))
    engine.answer("/volumes", {"Volumes": [volume(root, "files")]})
    gone = project("volumes", "--yes")["actions"]
    assert [(one["kind"], Path(one["target"]).name) for one in gone] == [("forget-tree", "label")]
    assert f"{root}/volumes/label" not in {tree.path for tree in registry().trees}
    for name in ("volumes-alice", "volumes-uid-4002"):
        project("remove", name, "--yes")
    log = Path("/var/log/ds01/events.jsonl").read_text()
    events = [json.loads(line) for line in log.splitlines()]
    actions = {one["details"]["action"] for one in events if one["event_type"] == "quota.project"}
    assert {"tag-tree", "forget-tree", "remove"} <= actions


@pytest.fixture
def terminals() -> Iterator[None]:
    """Have pseudo-terminals, which the guest has none of."""
    Path("/dev/pts").mkdir(exist_ok=True)
    assert call("mount", "-t", "devpts", "none", "/dev/pts").status == 0
    Path("/dev/ptmx").unlink(missing_ok=True)
    Path("/dev/ptmx").symlink_to("pts/ptmx")
    yield
    Path("/dev/ptmx").unlink()
    call("umount", "/dev/pts")


def on_terminal(meanwhile: Callable[[], object], *argv: str) -> str:
    """Run on a terminal, do something while it asks, say yes, and give what was on stdout."""
    ours, theirs = os.openpty()
    running = subprocess.Popen(
        [PROGRAM, *argv], stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, text=True
    )
    os.close(theirs)
    shown = b""
    while b"Do it?" not in shown:
        shown += os.read(ours, 4096)
    meanwhile()
    os.write(ours, b"y\n")
    out, _ = running.communicate()
    os.close(ours)
    return out


def test_volumes_are_judged_again_after_the_question(
    docker: tuple[StubEngine, Path], terminals: None, ds01ctl: Run
) -> None:
    """What was alice's when it was shown may have files of others by then, or be gone."""
    engine, root = docker
    engine.answer("/volumes", {"Volumes": [volume(root, name) for name in ("files", "label")]})

    def change() -> None:
        path = root / "volumes/files/_data/later"
        path.write_text("x")
        os.chown(path, 4002, 4002)
        engine.answer("/volumes", {"Volumes": [volume(root, "files"), volume(root, "bobs")]})

    said = on_terminal(change, "quota", "project", "volumes")
    assert "since it was looked at: is of several people: alice, " in said
    assert "Docker has removed it meanwhile" in said
    assert not registry().names
    for name in ("files", "label", "bobs"):
        assert is_tagged(root / "volumes" / name, 0)
    with job_lock(Paths(), "quota"):
        assert ds01ctl("quota", "project", "volumes", "--yes").status == 5
    assert not registry().names


def test_a_volume_with_files_of_another_project(docker: tuple[StubEngine, Path]) -> None:
    """They are left in it and told, and the volume is as it should be all the same."""
    engine, root = docker
    engine.answer("/volumes", {"Volumes": [volume(root, "files")]})
    set_on(root / "volumes/files/_data/f33", 4711)
    done = project("volumes", "--yes")
    assert "1 are in another project, and were left in it" in done["data"]["notes"][0]
    assert tag_of(root / "volumes/files/_data/f33").project_id == 4711
    assert project("volumes", "--yes")["data"]["unchanged"] == ["files"]
    project("remove", "volumes-alice", "--yes")


def test_the_data_root_is_refused(docker: tuple[StubEngine, Path], ds01ctl: Run) -> None:
    _, root = docker
    for path in (root, root.parent, root / "volumes", root / "overlay2/x"):
        done = ds01ctl("quota", "project", "create", "docker", str(path))
        assert done.status == 2, done
        assert "Docker" in done.stderr
    assert not registry().names


def test_without_docker(ds01ctl: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/no-such.sock")
    done = ds01ctl("quota", "project", "volumes", "--yes")
    assert done.status == 1
    assert "could not be listed" in done.stderr
