"""What `units import-cron` does: crontabs in, pairs of units out; pure of the terminal."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.commands.cron_jobs import Job, jobs_of, prove, scripts_of
from ds01ctl.commands.cron_sources import Host, read_files, read_host, session_of
from ds01ctl.commands.stepping import Step, carry_out
from ds01ctl.core.plan import Action, Result
from ds01ctl.cron.parts import FOLDERS
from ds01ctl.cron.translate import PLAIN, WANTED_BY, Options, expressions, mail_to, translate
from ds01ctl.errors import Ds01Error
from ds01ctl.files import write_atomic
from ds01ctl.paths import Paths
from ds01ctl.unitfiles.files import UNIT_DIR
from ds01ctl.unitfiles.stamp import stamped, state_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ds01ctl.cron.crontab import Remark
    from ds01ctl.cron.proof import Proof

COMMAND = "units import-cron"


class Asked(NamedTuple):
    """What the commands about cron are asked on."""

    paths: Paths
    host: str
    now: datetime


class Imported(NamedTuple):
    """The lines of some crontabs, and the text of every unit file by its name."""

    jobs: tuple[Job, ...]
    proofs: Mapping[str, Proof]
    units: Mapping[str, str]


def import_cron(
    asked: Asked,
    files: Sequence[Path] = (),
    *,
    owner: str | None = None,
    journal: bool = False,
    out: Path | None = None,
) -> Result:
    """Translate the crontabs of the host, or those named; out: write the units there.

    Raises Ds01Error naming every problem in every file; then nothing is written.
    """
    host = read_files(asked.paths, files, owner) if files else read_host(asked.paths)
    stop_on_problems(host)
    options = PLAIN._replace(journal=journal, session=session_of(asked.paths))
    imported = _translated(asked, host, options, with_folders=not files)
    actions = _write(imported.units, out) if out is not None else ()
    jobs = sorted(imported.jobs, key=lambda job: (job.entry.file, job.entry.line))
    data = {
        "files": sorted(file.source.place for file in host.files),
        "lines": [_line(job, imported, options) for job in jobs],
        "handed_over": _handed_over(asked, host),
        "skipped": [row_of(remark) for remark in host.skipped],
        "run_parts": [] if files else _folders(asked.paths),
        "units": [{"name": name, "text": text} for name, text in sorted(imported.units.items())],
        "out": str(out) if out is not None else None,
        "problems": [],
    }
    # a crontab that could not be read may hold a line that is missed later
    return Result(
        COMMAND, asked.host, asked.now, host.gaps, (), actions, data, failed_gaps=bool(host.gaps)
    )


def stop_on_problems(host: Host) -> None:
    """Raise Ds01Error that names the problems of all files; none where there are none."""
    problems = [remark for file in host.files for remark in file.crontab.problems]
    if problems:
        number = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
        raise Ds01Error(
            "\n".join([f"nothing was written, for {number}:", *map(str, problems)]),
            "correct each, or name the files to import; cron itself ignores a file with an error",
            {"problems": [row_of(problem) for problem in problems]},
        )


def row_of(remark: Remark) -> dict[str, Any]:
    """Give a remark as scripts get it."""
    return dict(remark._asdict())


def _translated(asked: Asked, host: Host, options: Options, *, with_folders: bool) -> Imported:
    jobs = jobs_of(host, asked.paths, with_folders=with_folders)
    proofs = prove(jobs, asked.now)
    wrong = [f"{name}: {proof.difference}" for name, proof in proofs.items() if proof.difference]
    if wrong:
        told = ["nothing was written: a timer would not run when cron does:", *wrong]
        raise Ds01Error("\n".join(told), "leave that line to cron, and please report it")
    units: dict[str, str] = {}
    for job in jobs:
        if job.is_made:
            pair = translate(job.entry, job.name, options)
            units[f"{job.name}.service"] = stamped(pair.service)
            units[f"{job.name}.timer"] = stamped(pair.timer)
    return Imported(jobs, proofs, units)


def _line(job: Job, imported: Imported, options: Options) -> dict[str, Any]:
    entry, proof = job.entry, imported.proofs.get(job.name)
    return {
        "file": entry.file,
        "line": entry.line or None,
        "user": entry.user,
        "when": entry.when,
        "command": entry.command,
        "unit": job.name if job.is_made else None,
        "on_calendar": list(expressions(entry)) if job.is_made else [],
        "mail_to": mail_to(entry) or None,
        "is_journalled": options.journal,
        "proof": _proof(proof),
        "warnings": [warning.message for warning in job.warnings],
    }


def _proof(proof: Proof | None) -> dict[str, Any] | None:
    """Tell what was shown; null where there is nothing to compare, as with @reboot."""
    if proof is None:
        return None
    return {"holds": proof.holds, "firings": proof.firings, "missing": proof.missing}


def _handed_over(asked: Asked, host: Host) -> list[dict[str, Any]]:
    """List the marked lines; with a timer that is not enabled, as after an old copy was saved."""
    wants = asked.paths.under(f"{UNIT_DIR}/{WANTED_BY}.wants")
    return [
        {
            "file": file.source.place,
            "line": mark.line,
            "unit": mark.name,
            "text": mark.text,
            "is_enabled": (wants / f"{mark.name}.timer").is_symlink(),
        }
        for file in host.files
        for mark in file.crontab.marks
    ]


def _folders(paths: Paths) -> list[dict[str, Any]]:
    rows = []
    for folder in FOLDERS:
        found = scripts_of(paths, folder)
        runs = [one.name for one in found if one.runs]
        skips = [{"name": one.name, "reason": one.skipped} for one in found if one.skipped]
        defers = [one.name for one in found if one.defers]
        if found:
            rows.append({"folder": folder, "runs": runs, "skips": skips, "defers": defers})
    return rows


# --- writing ------------------------------------------------------------------------------------


def _write(units: Mapping[str, str], out: Path) -> tuple[Action, ...]:
    """Write all the files or none; what is there and is not ours is left alone."""
    old = {name: _old(out / name) for name in units}
    foreign = [name for name, text in old.items() if text is not None and text != units[name]]
    foreign = [name for name in foreign if state_of(old[name] or "") != "ours"]
    if foreign:
        told = [f"{out / name}: was not written by ds01ctl, or was edited" for name in foreign]
        hint = "move it away, or keep your changes in a drop-in NAME.service.d/50-local.conf"
        raise Ds01Error("\n".join(["nothing was written:", *told]), hint)
    if not out.is_dir():
        raise Ds01Error(f"{out}: is not a folder; nothing was written", f"mkdir -p {out}")
    new = [name for name, text in units.items() if old[name] != text]
    made = carry_out([_step(out / name, units[name], old[name]) for name in new])
    same = [
        Action("write-file", str(out / name), "is so already", "skipped")
        for name in units
        if name not in new
    ]
    return tuple(sorted((*made, *same), key=lambda action: action.target))


def _old(path: Path) -> str | None:
    try:
        return path.read_bytes().decode(errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Ds01Error(f"{path}: cannot be read: {error.strerror}; nothing was written") from None


def _step(path: Path, text: str, old: str | None) -> Step:
    def do() -> None:
        try:
            write_atomic(path, text)
        except OSError as error:
            hint = "run it as root" if isinstance(error, PermissionError) else None
            raise Ds01Error(f"{path}: cannot be written: {error.strerror}", hint) from None

    def undo() -> None:
        with suppress(OSError):
            if old is None:
                path.unlink(missing_ok=True)
            else:
                write_atomic(path, old)

    reason = "a line of cron as a unit" if old is None else "the line or its settings changed"
    return Step(Action("write-file", str(path), reason), do, undo)
