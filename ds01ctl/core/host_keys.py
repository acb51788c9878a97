"""The other half of the table of policy keys: what holds for the whole host.

A new section is a new entry in HOST_SECTIONS.
"""

from __future__ import annotations

from functools import cache

from ds01ctl.core.carbon_keys import CARBON_SECTIONS
from ds01ctl.core.cleanup_keys import CLEANUP_SECTIONS
from ds01ctl.core.key import Key, declared
from ds01ctl.core.keys import POLICIES
from ds01ctl.core.programs import SYSTEM_EXECUTABLES
from ds01ctl.core.storage_keys import QUOTA
from ds01ctl.jobs import JOBS, Job

TOP: tuple[Key, ...] = (
    Key("default_group", "text", "The group of a user whom no file names.", "student"),
    Key(
        "require",
        "choices",
        "Sources that must be there; without one a run counts as partial.",
        (),
        choices=("nvml", "docker"),
    ),
    *declared("advanced", "wizard"),
)

_MODES = ("report", "enforce")


def _enabled(job: Job) -> Key:
    if not job.only_with:
        return Key("enabled", "bool", "Whether it runs.", default=job.enabled)
    return Key("enabled", "bool", "Whether it runs.", null=f"if there is a {job.only_with}")


HOST_SECTIONS: dict[str, tuple[Key, ...]] = {
    "enforcement": (
        Key(
            "aggregate_limits",
            "bool",
            "Whether the limits of aggregate and login are put on the slices.",
            default=True,
        ),
        Key(
            "cgroup_driver",
            "choice",
            "The cgroup driver that Docker must have.",
            "systemd",
            choices=("systemd", "cgroupfs"),
        ),
        Key(
            "mode",
            "choice",
            "Whether `enforce` changes anything, or only says what it would change; without it:"
            " report until something of ds01ctl's limits is in place on the host, then enforce.",
            example="report",
            choices=_MODES,
        ),
        Key("min_uid", "count", "Users with a lower uid are never limited.", 1000),
        Key(
            "exempt_users",
            "logins",
            "Users who are never limited.",
            (),
            example=("labadmin",),
        ),
        Key(
            "unowned_containers",
            "choice",
            "Containers whose owner nobody can tell: only told, or held to the limits of the"
            " default group. Infrastructure is left alone.",
            "report",
            choices=("report", "hold"),
        ),
    ),
    "enforcement.rules": tuple(
        Key(name, "choice", doc, null="as enforcement.mode", choices=_MODES)
        for name, doc in (
            ("logins", "Limits on log-ins (user-UID.slice)."),
            ("slices", "Limits on the slices of containers."),
            ("containers", "Limits on single containers."),
            ("io", "Bandwidth, IOPS and IO weight, wherever they are."),
            ("prune", "Taking back the limits of departed users and old groups."),
        )
    ),
    "gpu_allocation": declared(
        "mig_instances_per_gpu",
        "slots_per_gpu",
        "strategy",
        "allocation_method",
        "enable_mig",
        "mig_strategy",
        "mig_profile",
        "mig_gpus",
        "respect_reservations",
    ),
    "policies": POLICIES,
    "monitoring": (
        Key(
            "infrastructure_containers",
            "texts",
            "Names of containers that are not users' work; compose's number behind one is fine.",
            (),
            example=(
                "ds01-prometheus",
                "ds01-grafana",
                "ds01-alertmanager",
                "ds01-dcgm-exporter",
                "ds01-node-exporter",
                "ds01-cadvisor",
            ),
        ),
        Key(
            "infrastructure_label",
            "text",
            "The label that such a container has. For all but `cleanup`"
            " (cleanup.protected_label) it exempts nothing alone: the name does.",
            "ds01.protected",
        ),
    ),
    "bare_metal_access": (
        Key(
            "exempt_users",
            "logins",
            "Users who may always use the GPUs without a container.",
            (),
            example=("labadmin",),
        ),
        Key("admin_group", "text", "The group that may give others leave.", "ds01-admin"),
        Key(
            "default_grant_duration_h",
            "hours",
            "How long such leave lasts.",
            24,
            null="for ever",
            old="default_grant_duration",
        ),
        Key("state_dir", "path", "Where the grants lie.", "/var/lib/ds01/bare-metal-grants"),
    ),
    "access_control": (
        Key(
            "admin_users",
            "logins",
            "Users on whom the docker wrapper sets no limits.",
            (),
            example=("labadmin",),
        ),
        Key("admin_group", "text", "The group on which it sets none.", "ds01-admin"),
    ),
    "access_control.wrapper": (
        Key(
            "enforcement_mode",
            "choice",
            "Read by the docker wrapper.",
            "full",
            choices=("disabled", "monitoring", "full"),
        ),
        Key("debug_level", "count", "Read by the docker wrapper: 0 to 2.", 0),
        Key(
            "unknown_commands",
            "choice",
            "Read by the docker wrapper.",
            "allow",
            choices=("allow", "deny"),
        ),
    ),
    "detect": (
        Key("min_age_s", "seconds", "Younger processes and containers are new, not findings.", 60),
        Key(
            "scans",
            "count",
            "Recorded runs that must see a thing before it is a finding.",
            2,
            positive=True,
        ),
        Key(
            "ghost_memory_mib",
            "count",
            "GPU memory that no process explains and that is left unremarked.",
            512,
            unit="MiB",
        ),
        Key(
            "system_executables",
            "paths",
            "Programs of the system that may use a GPU as root.",
            SYSTEM_EXECUTABLES,
        ),
    ),
    "nvml": (
        Key("timeout_s", "seconds", "Time for all answers of the driver.", 10, positive=True),
    ),
    "docker": (
        Key(
            "hosts",
            "hosts",
            "The container engines to ask; a path may hold * and ?.",
            ("unix:///run/docker.sock",),
        ),
        Key(
            "timeout_s",
            "seconds",
            "Time for all answers of all engines together.",
            10,
            positive=True,
        ),
    ),
    "quota": QUOTA,
    **CLEANUP_SECTIONS,
    **CARBON_SECTIONS,
    "users": (
        Key("timeout_s", "seconds", "Time for all look-ups of user names.", 3, positive=True),
        Key("home_dirs", "paths", "Folders whose entries are home folders.", ("/home",)),
    ),
    "platform": (
        Key("slice", "text", "The slice that holds every container of the platform.", "ds01.slice"),
    ),
    "metrics": (
        Key(
            "textfile_dir",
            "plain_path",
            "The textfile folder of the node exporter.",
            "/var/lib/prometheus/node-exporter",
        ),
    ),
    "events": (Key("path", "log_path", "The event log.", "/var/log/ds01/events.jsonl"),),
    "jobs": (),
    **{
        f"jobs.{job.name}": (
            Key(
                "schedule",
                "schedule",
                f"When the job runs that is there to {job.why}.",
                job.schedule,
            ),
            _enabled(job),
        )
        for job in JOBS
    },
    "mail": (
        Key(
            "to",
            "addresses",
            "Who is told of a job that fails; without an address nobody is.",
            (),
            example=("admin@uni.example",),
        ),
        Key("sender", "address", "The address that mail comes from.", null="root at this host"),
        Key("host", "text", "The mail server.", "localhost"),
        Key("port", "count", "Its port.", 25, positive=True),
        Key(
            "security",
            "choice",
            "How the connection is kept secret: not at all, by STARTTLS, or by TLS from the start.",
            "none",
            choices=("none", "starttls", "tls"),
        ),
        Key("user", "text", "The login at the mail server.", null="no log-in"),
        Key(
            "password_file",
            "plain_path",
            "The file with its password, readable by root alone; systemd hands it to the service.",
            null="no password",
        ),
    ),
}


@cache
def host_keys() -> dict[str, Key]:
    """List the keys that hold for the whole host, by dotted name."""
    named = {key.name: key for key in TOP}
    for section, keys in HOST_SECTIONS.items():
        named.update({f"{section}.{key.name}": key for key in keys})
    return named
