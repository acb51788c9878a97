"""The rows of ``aggregate``: what bounds each of a person's two homes on the host.

The homes are all containers together (ds01-GROUP-USER.slice) and all log-ins together
(user-UID.slice). systemd.resource-control(5) has the properties.
"""

from __future__ import annotations

from ds01ctl.core.key import Key

_OOM = ("auto", "kill")

AGGREGATE: tuple[Key, ...] = (
    Key(
        "cpu_quota",
        "cpu_quota",
        "CPU time of a person's containers together, and of all log-ins; 100% is one core.",
        null="no limit",
        example="4800%",
        unit="%",
        positive=True,
    ),
    Key(
        "cpu_weight",
        "weight",
        "Share of the CPUs while they are contended; 100 is everybody's.",
        null="the kernel's default (100)",
        example=100,
    ),
    Key(
        "allowed_cpus",
        "cpu_list",
        "The only CPUs to run on.",
        null="all CPUs",
        example="0-15,32",
    ),
    Key(
        "memory_max",
        "host_size",
        "Memory of a person's containers together, and of all log-ins together.",
        null="no limit",
        example="96G",
        unit="bytes",
    ),
    Key(
        "memory_high",
        "host_size",
        "Where the kernel begins to slow the person down; about 90 % of memory_max.",
        null="no limit",
        example="86G",
        unit="bytes",
    ),
    Key(
        "memory_swap_max",
        "swap_size",
        "Swap, beside the memory; 0: none at all.",
        null="no limit",
        example="8G",
        unit="bytes",
    ),
    Key(
        "tasks_max",
        "count",
        "Processes and threads of a person's containers together, and of all log-ins together.",
        null="no limit",
        example=12288,
        positive=True,
    ),
    Key(
        "io_weight",
        "weight",
        "Share of a disk while it is contended; only with the bfq scheduler or io.cost.",
        null="the default (100)",
        example=100,
    ),
    *(
        Key(
            f"io_{way}_{name}_max",
            "device_rates",
            f"{what} a device; PATH is its node, or anything that lies on it.",
            null="no limit",
            example=(f"/dev/nvme0n1 {example}",),
            unit=unit,
        )
        for way, name, what, example, unit in (
            ("read", "bandwidth", "Reading from", "500M", "bytes a second"),
            ("write", "bandwidth", "Writing to", "250M", "bytes a second"),
            ("read", "iops", "Reads from", "20K", "operations a second"),
            ("write", "iops", "Writes to", "10K", "operations a second"),
        )
    ),
    Key(
        "managed_oom_swap",
        "choice",
        "Whether systemd-oomd may kill here when swap runs out.",
        example="auto",
        choices=_OOM,
    ),
    Key(
        "managed_oom_memory_pressure",
        "choice",
        "Whether systemd-oomd may kill here when memory has been short for long.",
        example="kill",
        choices=_OOM,
    ),
    Key(
        "managed_oom_memory_pressure_limit",
        "percentage",
        "From which pressure on; only with managed_oom_memory_pressure: kill.",
        null="systemd-oomd's own",
        example="60%",
        unit="%",
    ),
    Key(
        "gpu_limit",
        "number",
        "GPUs of all containers of a user together.",
        null="no limit",
        example=2.0,
        unit="GPU equivalents",
    ),
)
