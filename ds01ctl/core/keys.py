"""The table of policy keys: from it come the reader, the JSON Schema, the example, the docs.

A new key is a new row. Here and in aggregate_keys: what can differ between users. In host_keys:
the rest.
"""

from __future__ import annotations

from functools import cache

from ds01ctl.core.aggregate_keys import AGGREGATE as AGGREGATE
from ds01ctl.core.carbon_keys import BUDGET, GROUP_BUDGET
from ds01ctl.core.key import Key, declared

LIMITS: tuple[Key, ...] = (
    Key(
        "max_gpu_equivalents",
        "number",
        "GPUs over all containers of a user; a MIG device counts its compute slices / 7.",
        null="no limit",
        example=1.0,
        unit="GPU equivalents",
        aliases=("max_gpu_slots", "max_gpus_per_user", "max_mig_instances"),
    ),
    Key(
        "max_gpu_slots_per_container",
        "count",
        "Distinct GPUs and MIG devices in one container.",
        null="no limit",
        example=1,
        aliases=("max_gpus_per_container", "max_mig_per_container"),
    ),
    Key("allow_full_gpu", "bool", "Whether a whole GPU may be asked for.", example=True),
    Key(
        "max_cpus",
        "number",
        "CPUs per container.",
        null="no limit",
        example=16,
        unit="cores",
        aliases=("cpus",),
        positive=True,
    ),
    Key("memory", "size", "Memory per container.", null="no limit", example="32g", unit="bytes"),
    Key(
        "memory_swap",
        "size",
        "Memory and swap together, per container.",
        null="no limit",
        example="32g",
        unit="bytes",
    ),
    Key(
        "shm_size",
        "size",
        "Shared memory per container.",
        null="no limit",
        example="8g",
        unit="bytes",
    ),
    Key(
        "pids_limit",
        "count",
        "Processes and threads per container.",
        null="no limit",
        example=4096,
        positive=True,
    ),
    Key(
        "max_containers_per_user",
        "count",
        "Containers of a user at one time.",
        null="no limit",
        example=3,
    ),
    Key(
        "max_runtime_h",
        "hours",
        "How long a container may run.",
        null="no limit",
        example=24,
        old="max_runtime",
        positive=True,
    ),
    Key(
        "idle_timeout_h",
        "hours",
        "How long a container with a GPU may be idle.",
        null="no limit",
        example=0.5,
        old="idle_timeout",
        positive=True,
    ),
    Key(
        "gpu_hold_after_stop_h",
        "hours",
        "How long a stopped container keeps its GPU.",
        null="for ever",
        example=0.25,
        old="gpu_hold_after_stop",
    ),
    Key(
        "container_hold_after_stop_h",
        "hours",
        "When a stopped container is removed.",
        null="never",
        example=0.5,
        old="container_hold_after_stop",
    ),
    Key(
        "max_tasks",
        "count",
        "Tasks of the user's slice.",
        null="no limit",
        example=32768,
        positive=True,
    ),
    Key(
        "storage",
        "storage",
        "Disk space and inodes by path: each limits the file system that holds the path.",
        example={"/home": "100G", "/scratch": {"soft": "500G", "hard": "1T", "inodes_soft": "2M"}},
    ),
    BUDGET,
    Key("priority", "count", "Declared in DS01, without effect.", effect=False),
    *declared("storage_workspace", "storage_data", "storage_tmp", kind="size"),
    *declared(
        "gpu_memory",
        "io_read_bps",
        "io_write_bps",
        "ulimit_nofile",
        "slots_per_gpu",
        "mig_instances_per_gpu",
        "reservation_start",
        "reservation_end",
        "reserved_gpus",
        "reason",
    ),
)

GROUP = (GROUP_BUDGET,)
"""Of a group as a whole: in its own map alone, and no member's limit."""

LOGIN = tuple(key for key in AGGREGATE if key.name != "gpu_limit")
"""For log-ins where they differ; what is set nowhere here is as in AGGREGATE."""

POLICIES: tuple[Key, ...] = (
    Key(
        "high_demand_threshold",
        "fraction",
        "The part of the GPUs in use from which on demand is high.",
        0.8,
        null="never high",
    ),
    Key(
        "high_demand_idle_reduction",
        "fraction",
        "Factor on the idle timeout while demand is high.",
        0.5,
        null="no reduction",
        positive=True,
    ),
    Key(
        "gpu_idle_threshold",
        "percent",
        "GPU use below which a container may be idle.",
        5,
        null="not looked at",
        unit="%",
    ),
    Key(
        "cpu_idle_threshold",
        "number",
        "CPU use below which a container may be idle; 100 is one core.",
        2.0,
        null="not looked at",
        unit="%",
    ),
    Key(
        "network_idle_threshold",
        "count",
        "Network traffic below which a container may be idle.",
        1048576,
        null="not looked at",
        unit="bytes",
    ),
    Key(
        "idle_detection_window",
        "count",
        "Idle checks in a row before anything is done.",
        3,
        unit="checks",
        positive=True,
    ),
    Key(
        "grace_period_m",
        "minutes",
        "Time after its start in which a container is never idle.",
        30,
        null="for ever",
        old="grace_period",
    ),
    Key(
        "keepalive_max_duration_h",
        "hours",
        "How long a .keep-alive file defers a stop.",
        24,
        null="for ever",
        old="keepalive_max_duration",
    ),
    Key(
        "sigterm_grace_s",
        "seconds",
        "Time between asking a container to stop and killing it.",
        60,
        old="sigterm_grace_seconds",
        # the job that waits for it has 280 s (jobs), of which the look takes some
        most=120,
    ),
    Key(
        "created_container_timeout_m",
        "minutes",
        "When a container that was never started is removed.",
        30,
        null="never",
        old="created_container_timeout",
    ),
    Key(
        "gpu_hold_after_manual_stop_m",
        "minutes",
        "Declared in DS01, without effect.",
        null="for ever",
        old="gpu_hold_after_manual_stop",
        effect=False,
    ),
    *declared(
        "checkpoint_warning",
        "soft_limit_threshold",
        "enforce_storage_quotas",
        "auto_stop_idle",
        "require_workspace_mount",
        "graceful_errors",
        "suggest_alternatives",
    ),
)

CONTAINER_TYPE: tuple[Key, ...] = (
    *(key for key in LIMITS if key.name in {"idle_timeout_h", "max_runtime_h"}),
    *(key._replace(default=None, example=60) for key in POLICIES if key.name == "sigterm_grace_s"),
    *(key for key in LIMITS if key.name == "container_hold_after_stop_h"),
    *declared("default_mig_count"),
)
CONTAINER_TYPES = frozenset(
    {"devcontainer", "compose", "docker", "api", "jupyter", "orchestration", "atomic", "unknown"}
)

EXEMPTIBLE = (
    "idle_timeout_h",
    "max_runtime_h",
    "gpu_hold_after_stop_h",
    "container_hold_after_stop_h",
    "unmanaged-container",
    "host-gpu-process",
    "resource-limits",
)
"""What lifecycle-exemptions.yaml may exempt from: limits, kinds of finding, all of `enforce`."""
EXEMPTION_CATEGORIES = ("research_grant", "waiver")


@cache
def user_keys() -> dict[str, Key]:
    """List the keys that can differ between users, by the name that Policy.limit takes."""
    named = {key.name: key for key in LIMITS}
    named.update({f"aggregate.{key.name}": key for key in AGGREGATE})
    named.update({f"login.{key.name}": key for key in LOGIN})
    named.update({f"policies.{key.name}": key for key in POLICIES})
    return named
