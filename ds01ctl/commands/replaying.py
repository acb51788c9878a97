"""Write snapshots to files, and read them back to decide from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.commands import gathering, remembering
from ds01ctl.commands.shown import Shown
from ds01ctl.core.plan import Result
from ds01ctl.errors import Ds01Error, UsageError
from ds01ctl.files import write_atomic

if TYPE_CHECKING:
    from ds01ctl.core.model import Snapshot
    from ds01ctl.core.policy import Policy
    from ds01ctl.paths import Paths

EXAMPLE = "example"
_EXAMPLE_DIR = Path(__file__).parent.parent / "example"


def record(output: Path | None, config: Path | None, *, anonymise: bool, as_json: bool) -> Shown:
    """Look at the host and write what was seen to a file, or to stdout."""
    from ds01ctl.core import codec

    if as_json and output is None:
        raise UsageError(
            "a snapshot on stdout is a document already", "leave out --json, or add --output FILE"
        )
    paths = gathering.host_paths()
    gathered = gathering.gather(paths, config, remembering.recall(paths).facts)
    snapshot = gathered.snapshot
    if anonymise:
        from ds01ctl.core.anonymise import anonymise as without_names

        policy = gathered.loaded.policy
        names = policy.value("monitoring.infrastructure_containers") or ()
        snapshot = without_names(snapshot, keep=names)
    text = codec.dump_snapshot(snapshot)
    if output is not None:
        _write(output, text, mode=0o644 if anonymise else 0o600)
    result = Result(
        "snapshot",
        snapshot.host,
        snapshot.taken_at,
        snapshot.gaps,
        data={
            "file": str(output) if output else None,
            "size_bytes": len(text.encode()),
            "anonymised": anonymise,
            "gpus": len(snapshot.gpus),
            "gpu_processes": len(snapshot.processes),
            "containers": len(snapshot.containers),
        },
        failed_gaps=gathering.is_failure(snapshot.gaps),
    )
    return Shown(result, lambda: _tell(result, text), as_json)


def _write(output: Path, text: str, *, mode: int) -> None:
    if output.exists() and not output.is_file():
        # a rename would put a file in the place of a device or a directory
        raise Ds01Error(f"{output}: is no regular file", "leave out --output to write to stdout")
    try:
        write_atomic(output, text, mode=mode)
    except OSError as error:
        raise Ds01Error(
            f"{output}: {error.strerror}", "choose another place with --output FILE"
        ) from None


def _tell(result: Result, text: str) -> None:
    from ds01ctl.report.detect_foot import counted, gap_line

    data = result.data
    if data["file"] is None:
        print(text)
        return
    seen = ", ".join(
        (
            counted(data["gpus"], "GPU", "GPUs"),
            counted(data["gpu_processes"], "GPU process", "GPU processes"),
            counted(data["containers"], "container", "containers"),
        )
    )
    print(f"wrote {data['file']}: {seen}, {data['size_bytes']} bytes")
    for gap in result.gaps:
        print(gap_line(gap))


class Replay(NamedTuple):
    """A recorded host, and the policy to judge it by."""

    snapshot: Snapshot
    policy: Policy


def load(name: str, config: Path | None, paths: Paths) -> Replay:
    """Read a snapshot file, and the policy of today.

    The example is judged by its own policy unless ``--config`` names another.
    Raises Ds01Error for a file that cannot be read or is no snapshot.
    """
    from ds01ctl.core import codec

    is_example = name == EXAMPLE
    path = _EXAMPLE_DIR / "snapshot.json" if is_example else Path(name)
    try:
        snapshot = codec.load_snapshot(_text(path, name))
    except codec.CodecError as error:
        raise Ds01Error(f"{name}: {error}", "make it anew with `ds01ctl snapshot`") from None
    if is_example and config is None:
        config = _EXAMPLE_DIR / "resource-limits.yaml"
    loaded = gathering.load_policy(paths, config)
    # whether there was a policy file then says nothing about the one that judges now
    rest = (gap for gap in snapshot.gaps if gap.source != "policy" or gap.kind != "absent")
    return Replay(snapshot._replace(gaps=(*rest, *loaded.gaps)), loaded.policy)


def _text(path: Path, name: str) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        hint = "give a file of `ds01ctl snapshot`, or `example`"
        raise Ds01Error(f"{name}: {error.strerror}", hint) from None
    except UnicodeDecodeError:
        raise Ds01Error(f"{name}: not text", "give a file of `ds01ctl snapshot`") from None
    if not text.strip():
        raise Ds01Error(f"{name}: is empty", "make it anew with `ds01ctl snapshot`")
    return text
