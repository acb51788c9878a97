"""The policy keys of `carbon`; a user's budget is a limit, in keys."""

from __future__ import annotations

from ds01ctl.core.grid_providers import PROVIDERS
from ds01ctl.core.key import Key

_CARBON: tuple[Key, ...] = (
    Key(
        "zone",
        "text",
        "The grid that the machine hangs on, as in the table of intensities; a provider may know"
        " others, such as DK-DK1.",
        null="the world's average, which every report then says",
        example="DE",
    ),
    Key(
        "intensity_g_per_kwh",
        "intensity",
        "Carbon intensity that holds whatever a provider or the table says, as in a contract.",
        null="by the provider, else by the table",
        example=330,
        unit="g CO2e/kWh",
    ),
    Key(
        "provider",
        "choice",
        "Who is asked for the intensity. watttime has marginal figures only: they are shown, and"
        " never counted.",
        "none",
        choices=("none", *PROVIDERS),
    ),
    Key(
        "provider_zone",
        "text",
        "The provider's own name of the zone, where it is another one: for entsoe a code of 16"
        " letters, for watttime a region such as CAISO_NORTH.",
        null="as carbon.zone",
    ),
    Key(
        "provider_url",
        "url",
        "The provider's address, where it is another one, such as a proxy's.",
        null="the provider's own",
    ),
    Key(
        "token_file",
        "plain_path",
        "The file with the provider's token, readable by root alone; of watttime USER:PASSWORD."
        " systemd hands it to the service.",
        null="no token",
    ),
    Key(
        "valid_m",
        "minutes",
        "How long a figure of the provider is live; then it is stale, and after a day unused."
        " entsoe, which publishes late, gets two hours more.",
        60,
        positive=True,
    ),
    Key(
        "pue",
        "pue",
        "Power usage effectiveness: the whole house's energy over the computers'.",
        null="not known: 1.0 is used, and every report says so",
        example=1.3,
    ),
    Key(
        "idle",
        "choice",
        "Who is charged for idle energy: whoever is active, in proportion; the holder of an idle"
        " GPU; or nobody.",
        "allocation",
        choices=("usage", "allocation", "unattributed"),
    ),
    Key(
        "psys",
        "bool",
        "Whether the counter of the whole platform is read, too; what is in no other counter then"
        " is the component other.",
        default=False,
    ),
    Key(
        "dram_watts_per_gib",
        "number",
        "Power of memory that no counter counts, as on AMD; 0: it is left out. 0.375 is usual.",
        0.0,
        unit="W/GiB",
    ),
    Key(
        "water_l_per_kwh",
        "number",
        "Water for cooling (WUE).",
        null="not told",
        example=1.8,
        unit="litres/kWh",
    ),
    Key(
        "price_per_kwh",
        "number",
        "What a kilowatt-hour costs.",
        null="not told",
        example=0.25,
    ),
    Key("currency", "text", "The currency of the price.", "EUR"),
    Key(
        "equivalences",
        "bool",
        "Whether reports also tell kilometres by car, and months of a tree.",
        default=False,
    ),
    Key(
        "kwh_metric",
        "bool",
        "Whether ds01_gpu_energy_kwh_total is written, too, beside the joules.",
        default=False,
    ),
    Key(
        "history_days",
        "days",
        "How long the energy of each hour is kept.",
        1100,
        positive=True,
    ),
)

_IDLE_WATTS: tuple[Key, ...] = tuple(
    Key(name, "number", doc, null=null, unit="W")
    for name, doc, null in (
        ("cpu", "Idle power of one processor package.", "its idle part is not told apart"),
        ("dram", "Idle power of the memory of one package.", "its idle part is not told apart"),
        (
            "gpu",
            "Idle power of one GPU.",
            "all of its energy is idle in an interval without use, none in others",
        ),
    )
)

_MAX_WATTS: tuple[Key, ...] = tuple(
    Key(name, "number", doc, null=null, unit="W", positive=True)
    for name, doc, null in (
        ("package", "The most that one processor package can draw.", "its power limit, else 1000"),
        ("dram", "The most that the memory of one package can draw.", "500"),
        ("gpu", "The most that one GPU can draw.", "its power limit, else 1000"),
    )
)

_EMBODIED: tuple[Key, ...] = (
    Key(
        "server_kg",
        "number",
        "CO2e of making the server without its GPUs.",
        null="not counted",
        example=1500,
        unit="kg",
    ),
    Key(
        "gpu_kg",
        "number",
        "CO2e of making one GPU.",
        null="not counted",
        example=150,
        unit="kg",
    ),
    Key(
        "lifetime_h",
        "hours",
        "The hours over which that is spread; 43800 are five years.",
        null="not counted",
        example=43800,
        positive=True,
    ),
)

CARBON_SECTIONS: dict[str, tuple[Key, ...]] = {
    "carbon": _CARBON,
    "carbon.idle_watts": _IDLE_WATTS,
    "carbon.max_watts": _MAX_WATTS,
    "carbon.embodied": _EMBODIED,
}

GROUP_BUDGET = Key(
    "group_carbon_budget_kg_per_month",
    "number",
    "CO2e that the work of all its members together may cause in a calendar month, beside what each"
    " of them may; more is told, never stopped.",
    null="no budget",
    example=800,
    unit="kg",
)

BUDGET = Key(
    "carbon_budget_kg_per_month",
    "number",
    "CO2e that the work of a user may cause in a calendar month; more is told, never stopped.",
    null="no budget",
    example=50,
    unit="kg",
)
