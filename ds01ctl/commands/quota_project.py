"""`quota project`: trees of files with a limit of their own, whoever owns what is in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from ds01ctl.commands.options import Config, DryRun, ExitOnFindings, Json
from ds01ctl.commands.shown import Shown

if TYPE_CHECKING:
    from ds01ctl.core.plan import Result

app = typer.Typer(
    no_args_is_help=True,
    help="""Make projects: trees of files with a disk limit of their own.

    A project has a name and an id in /etc/projid and a path in /etc/projects. All files in its tree
    carry the id, and new ones get it by themselves. Projects of others are never touched.

    \b
    Examples:
      ds01ctl quota project create vision /scratch/vision --owner alice
      ds01ctl quota set --project vision --path /scratch/vision --soft 1T
      ds01ctl quota project list
      ds01ctl quota project check --exit-code
    """,
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of the project.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def _shown(
    result: Result,
    lines: Callable[[Result], list[str]],
    *,
    as_json: bool,
    exit_code: bool = False,
) -> Shown:
    return Shown(result, lambda: print("\n".join(lines(result))), as_json, exit_code)


@app.command()
def create(
    name: Name,
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="The folder; all that is in it is tagged.")
    ],
    owner: Annotated[
        str | None,
        typer.Option(
            "--owner", metavar="LOGIN", help="Who is told of its use, and answers for it."
        ),
    ] = None,
    dry_run: DryRun = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Register a folder as a project, and tag all that is in it.

    Run it again after it was interrupted, or when `check` finds strays: what is tagged already is
    only looked at. Moving or hard-linking files across the border of a project fails with "Invalid
    cross-device link" (EXDEV): mv copies then, but pip, uv, conda and git use hard links from their
    caches, which have to lie in the same project, or be told to copy. While it runs, the border
    goes through the tree: it is best done while nobody works there.

    \b
    Examples:
      ds01ctl quota project create vision /scratch/vision --owner alice
      ds01ctl quota project create vision /scratch/vision --dry-run
    """
    from ds01ctl.commands import quota_projects as run
    from ds01ctl.report.project_text import change_lines

    result = run.create(name, path, owner, config, dry_run=dry_run, as_json=as_json)
    return _shown(result, change_lines, as_json=as_json)


@app.command("list")
def list_(config: Config = None, as_json: Json = False) -> Shown:
    """List every project, those of others too: path, owner, what is used, and limits.

    \b
    Examples:
      ds01ctl quota project list
      ds01ctl quota project list --json
    """
    from ds01ctl.commands import quota_project_looking as run
    from ds01ctl.report.project_text import list_lines

    return _shown(run.list_all(config), list_lines, as_json=as_json)


@app.command()
def check(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this project.")] = None,
    exit_code: ExitOnFindings = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Find files that are not in the project whose tree they lie in, and a wrong registry.

    Every tree of ours is looked through. What was moved out of a tree is not searched for: it keeps
    its id, and is charged to the project. Changes nothing.

    \b
    Examples:
      ds01ctl quota project check
      ds01ctl quota project check vision --exit-code
    """
    from ds01ctl.commands import quota_project_looking as run
    from ds01ctl.report.project_text import check_lines

    result = run.check(name, config, as_json=as_json)
    return _shown(result, check_lines, as_json=as_json, exit_code=exit_code)


@app.command()
def remove(
    name: Name,
    keep_tags: Annotated[
        bool, typer.Option("--keep-tags", help="Leave the id on the files: they stay counted.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Take a project away: the tags of its files, its limits, its lines. No file is removed.

    \b
    Examples:
      ds01ctl quota project remove vision --dry-run
      ds01ctl quota project remove vision --yes
    """
    from ds01ctl.commands import quota_projects as run
    from ds01ctl.report.project_text import change_lines

    result = run.remove(
        name, config, keep_tags=keep_tags, dry_run=dry_run, yes=yes, as_json=as_json
    )
    return _shown(result, change_lines, as_json=as_json)


@app.command()
def volumes(
    dry_run: DryRun = False, yes: Yes = False, config: Config = None, as_json: Json = False
) -> Shown:
    """Put each user's Docker volumes into a project of theirs, volumes-LOGIN.

    The owner is the one person who has files in the volume; a label ds01.user has to say the same.
    Uid 1000, as which most images run, is taken for a person only with that label. All others, and
    volumes with options of the driver, are left alone.

    \b
    Examples:
      ds01ctl quota project volumes --dry-run
      ds01ctl quota project volumes --yes
    """
    from ds01ctl.commands import quota_volumes as run
    from ds01ctl.report.project_text import volumes_lines

    result = run.volumes(config, dry_run=dry_run, yes=yes, as_json=as_json)
    return _shown(result, volumes_lines, as_json=as_json)
