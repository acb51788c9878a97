"""`carbon`: how much energy the host uses and what it emits, by whose work it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ds01ctl.commands.options import Config, DryRun, ExitOnFindings, Json
from ds01ctl.commands.shown import Shown
from ds01ctl.errors import UsageError

_BY = ("user", "group", "project", "gpu", "day")

app = typer.Typer(
    no_args_is_help=True,
    help="""Say how much energy each user's work takes, and what it emits.

    A timer reads the energy counters of processors, memory and GPUs every minute and shares out
    what they counted: users, the system and what is nobody's add up to it exactly. Grams are energy
    x PUE x the grid's carbon intensity, and every report says where that comes from.

    \b
    Examples:
      ds01ctl carbon report
      ds01ctl carbon report --since 2026-11-01 --by group --html november.html
      ds01ctl carbon estimate --gpu 'A100 80GB PCIe' --hours 48
      ds01ctl carbon check
    """,
)

Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="TIME",
        help="From then on: 2026-11-01, or 7d for the last 7 (default: today, and this month).",
    ),
]
Until = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="TIME",
        help="Up to then (default: now); a day is its beginning, so 2026-11-01 ends October.",
    ),
]


@app.command()
def sample(dry_run: DryRun = False, config: Config = None, as_json: Json = False) -> Shown:
    """Count the energy since the last run, and whose it is; what the timer runs.

    With --dry-run it shows the interval: what each counter counted, how it is shared out, and what
    could not be decided. Then nothing is stored, and the next run counts it.

    \b
    Examples:
      ds01ctl carbon sample --dry-run
      ds01ctl carbon sample
    """
    from ds01ctl.commands import carbon_sampling as run

    return run.shown(config, dry_run=dry_run, as_json=as_json)


@app.command()
def report(
    since: Since = None,
    until: Until = None,
    by: Annotated[
        str,
        typer.Option("--by", metavar="WHAT", help=f"A row for each: {', '.join(_BY)}.",
                     autocompletion=lambda: list(_BY)),
    ] = "user",
    user: Annotated[
        str | None, typer.Option("--user", metavar="LOGIN", help="Only what this user used.")
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page with a plot there, too."),
    ] = None,
    equivalences: Annotated[
        bool, typer.Option("--equivalences", help="Also tell kilometres by car and the like.")
    ] = False,
    exit_code: ExitOnFindings = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:  # fmt: skip
    """Show who used how much energy, and what that emitted: today and this month, or as asked.

    WASTE is energy of GPUs that a user held and that did nothing. +- is a bound for what was
    modelled and not measured. Hours that have begun count whole. A project is what a container's
    label says, ds01.project or else Docker Compose's; two users' of the same name are one row.

    \b
    Examples:
      ds01ctl carbon report
      ds01ctl carbon report --since 2026-10-01 --until 2026-11-01 --by group
      ds01ctl carbon report --since 30d --by project --user alice
      ds01ctl carbon report --by day --since 30d --csv
      ds01ctl carbon report --html report.html
    """
    from ds01ctl.commands import carbon_reporting as run
    from ds01ctl.report.carbon_text import print_report

    if csv and as_json:
        raise UsageError("--csv and --json at once", "take one of them")
    result = run.report(run.Question(_known(by), since, until, user, config, equivalences))
    if html is not None:
        result = run.written(result, html)
    return Shown(result, lambda: print_report(result, as_csv=csv), as_json, exit_code)


def _known(by: str) -> str:
    if by not in _BY:
        raise UsageError(f"--by {by}: is not known", f"one of {', '.join(_BY)}")
    return by


@app.command()
def estimate(
    hours: Annotated[
        float,
        typer.Option("--hours", metavar="H", min=0, help="Hours that it runs, such as 48 or 0.5."),
    ],
    cores: Annotated[
        float, typer.Option("--cores", metavar="N", min=0, help="Processor cores that it uses.")
    ] = 0,
    cpu: Annotated[
        str,
        typer.Option(
            "--cpu", metavar="MODEL", help="Their model, such as 'EPYC 7763'; Any is a mean one."
        ),
    ] = "Any",
    gpu: Annotated[
        str | None,
        typer.Option("--gpu", metavar="MODEL", help="Model of the GPU, such as 'A100 80GB PCIe'."),
    ] = None,
    gpus: Annotated[
        float | None, typer.Option("--gpus", metavar="N", min=0, help="How many (1 with --gpu).")
    ] = None,
    memory_gb: Annotated[
        float,
        typer.Option(
            "--memory-gb", metavar="GB", min=0, help="Memory that is asked for, used or not."
        ),
    ] = 0,
    usage: Annotated[
        float,
        typer.Option(
            "--usage", metavar="PART", min=0, max=1, help="Mean use of cores and GPUs: 0.8 is 80 %."
        ),
    ] = 1.0,
    pue: Annotated[
        float | None,
        typer.Option(
            "--pue",
            metavar="P",
            min=1,
            help="The whole house's energy over the computers' (default: carbon.pue, else 1.56).",
        ),
    ] = None,
    repeat: Annotated[
        float,
        typer.Option("--repeat", metavar="N", min=0, help="How often it is run, failed runs too."),
    ] = 1.0,
    zone: Annotated[
        str | None,
        typer.Option(
            "--zone",
            metavar="ZONE",
            help="Whose grid, such as DE (default: what carbon.zone says, else the world's mean).",
        ),
    ] = None,
    equivalences: Annotated[
        bool, typer.Option("--equivalences", help="Also tell kilometres by car and the like.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Estimate what a computation will take, by the formula of Green Algorithms.

    It needs no counters and reads nothing but the policy. The result is in kWh and g CO2e.
    Lannelongue et al. 2021, doi 10.1002/advs.202100707.

    \b
    Examples:
      ds01ctl carbon estimate --gpu 'A100 80GB PCIe' --hours 48
      ds01ctl carbon estimate --cores 12 --memory-gb 64 --hours 12 --zone DE
    """
    from ds01ctl.commands import carbon_estimating as run
    from ds01ctl.report.carbon_sample_text import estimate_lines

    asked = run.Asked(
        hours, cores, cpu, gpu, gpus, memory_gb, usage, pue, repeat, zone, config, equivalences
    )
    result = run.estimate(asked)
    return Shown(result, lambda: print("\n".join(estimate_lines(result))), as_json)


@app.command()
def recompute(
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="From then on: 2026-10-01, or 30d.")
    ],
    until: Until = None,
    intensity: Annotated[
        float | None,
        typer.Option("--intensity", metavar="G", min=0, max=3000,
                     help="g CO2e/kWh (default: as it was)."),
    ] = None,
    pue: Annotated[
        float | None,
        typer.Option("--pue", metavar="P", min=1, max=10,
                     help="The whole house's energy over the computers' (default: as it was)."),
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option("--zone", metavar="ZONE",
                     help="Take the table's values for this grid, such as DE: each hour its year's,"
                     " in the place of what counted."),
    ] = None,
    dry_run: DryRun = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:  # fmt: skip
    """Compute the carbon of a past time anew from stored energy, with corrected factors.

    What is not given stays as it was in each hour. Reports and budgets then have the new figures.
    The counters of the metrics stay as they are: a counter never goes back. Whole hours are
    computed.

    \b
    Examples:
      ds01ctl carbon recompute --since 2026-10-01 --until 2026-11-01 --intensity 310 --dry-run
      ds01ctl carbon recompute --since 2026-01-01 --pue 1.25
      ds01ctl carbon recompute --since 2026-01-01 --until 2026-07-01 --zone DE
    """
    from ds01ctl.commands import carbon_recomputing as run
    from ds01ctl.report.carbon_sample_text import recompute_lines

    result = run.recompute(run.Asked(since, until, intensity, pue, zone, config), dry_run=dry_run)
    return Shown(result, lambda: print("\n".join(recompute_lines(result))), as_json)


@app.command()
def check(exit_code: ExitOnFindings = False, config: Config = None, as_json: Json = False) -> Shown:
    """Say what is measured here and how: counters, permissions, and whether the timer is in time.

    A processor's counter goes round; if it can do so twice between two runs, nobody knows how much
    was used. Changes nothing.

    \b
    Examples:
      ds01ctl carbon check
      ds01ctl carbon check --exit-code
    """
    from ds01ctl.commands import carbon_checking as run
    from ds01ctl.report.carbon_sample_text import check_lines

    result = run.check(config)
    return Shown(result, lambda: print("\n".join(check_lines(result))), as_json, exit_code)


@app.command()
def intensity(
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Ask the provider, and store what it says.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> Shown:
    """Show which carbon intensity counts now, and what would if it were not there.

    In this order: carbon.intensity_g_per_kwh, what the provider says, what it said lately, the
    table's row of the zone, the world's. With --fetch, which the timer runs, it is asked.

    \b
    Examples:
      ds01ctl carbon intensity
      ds01ctl carbon intensity --fetch
    """
    from ds01ctl.commands import carbon_intensity as run
    from ds01ctl.report.carbon_sample_text import intensity_lines

    result = run.intensity(config, fetch=fetch)
    return Shown(result, lambda: print("\n".join(intensity_lines(result))), as_json)
