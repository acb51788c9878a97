"""Write the unit files into a tree, for packaging; and compare them with the host's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.commands.installing import file_row, situation
from ds01ctl.commands.site import site_of
from ds01ctl.core import placing as compared
from ds01ctl.core.placing import Found
from ds01ctl.core.plan import Action, Result
from ds01ctl.errors import Ds01Error
from ds01ctl.files import write_atomic
from ds01ctl.unitfiles.files import DEFAULT, HostFile, render
from ds01ctl.unitfiles.stamp import state_of

if TYPE_CHECKING:
    from pathlib import Path

    from ds01ctl.commands.installing import Asked


def generate(asked: Asked, folder: Path, *, force: bool, dry_run: bool) -> Result:
    """Render every file below a folder: units/, tmpfiles.d/, logrotate.d/, journald.conf.d/.

    The built-in settings are used, unless a policy is named.
    """
    program = asked.program or DEFAULT.program
    files = render(DEFAULT._replace(program=program))
    if asked.config is not None:
        files = site_of(asked.paths, asked.config, program).files
    found = {file.source: _found(folder / file.source) for file in files}
    changes = compared.changes({file.source: file.text for file in files}, found, force=force)
    refused = compared.refused(changes)
    if refused:
        told = [f"{folder / one.place}: is not as ds01ctl wrote it" for one in refused]
        raise Ds01Error("\n".join(told), "give --force to overwrite, or another folder")
    actions = [
        Action(
            "write-file",
            str(folder / one.place),
            "new" if one.old is None else "changed",
            "planned" if dry_run else "done",
        )
        for one in compared.pending(changes)
    ]
    if not dry_run:
        _write([file for file in files if found[file.source].text != file.text], folder)
    data = {"folder": str(folder), "files": [file_row(change) for change in changes]}
    return Result("units generate", asked.host, asked.now, actions=tuple(actions), data=data)


def _found(path: Path) -> Found:
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return Found(None)
    except OSError as error:
        raise Ds01Error(f"{path}: cannot be read: {error.strerror}") from None
    return Found(text, state_of(text))


def _write(files: list[HostFile], folder: Path) -> None:
    for file in files:
        path = folder / file.source
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, file.text)
        except OSError as error:
            hint = "give a folder that you may write to"
            raise Ds01Error(f"{path}: cannot be written: {error.strerror}", hint) from None


def diff(asked: Asked) -> Result:
    """Show how the host's files differ from what an install would write."""
    on_host = site_of(asked.paths, asked.config, asked.program)
    now = situation(asked, on_host, force=True)
    rows = [file_row(change) for change in now.changes]
    actions = tuple(
        Action("write-file" if one.new is not None else "remove-file", one.place, one.state)
        for one in now.changes
        if one.kind != "keep"
    )
    stale = sorted(name for name, unit in now.units.items() if unit.needs_reload)
    data = {"files": rows, "live": now.is_live, "not_in_memory": stale}
    return Result("units diff", asked.host, asked.now, on_host.gaps, (), actions, data)
