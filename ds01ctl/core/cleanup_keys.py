"""The policy keys of `cleanup`; the timeouts themselves are limits, in keys."""

from __future__ import annotations

from ds01ctl.core.key import Key

_MODES = ("report", "enforce")

_CLEANUP: tuple[Key, ...] = (
    Key(
        "mode",
        "choice",
        "Whether `cleanup apply` warns, stops and removes, or only says what it would do.",
        "report",
        choices=_MODES,
    ),
    Key(
        "idle_without_gpu",
        "bool",
        "Whether containers without a GPU may be stopped for idleness, too.",
        default=False,
    ),
    Key(
        "runtime_without_gpu",
        "bool",
        "Whether max_runtime_h holds for containers without a GPU, too.",
        default=False,
    ),
    Key(
        "block_io_idle_threshold",
        "size",
        "Disk traffic in five minutes below which a container may be idle.",
        10 << 20,
        null="not looked at",
        unit="bytes",
    ),
    Key(
        "protected_label",
        "choice",
        "Whose containers the labels ds01.protected and ds01.monitoring keep from all cleanup:"
        " everybody's, which is told, or admins' alone.",
        "honour",
        choices=("honour", "admins"),
    ),
    Key(
        "unowned",
        "choice",
        "Containers that nobody is known to own: only told, or held to the limits of the default"
        " group; never one whose owner has a uid or a login that is not known now.",
        "report",
        choices=("report", "act"),
    ),
    Key(
        "auto_remove",
        "choice",
        "Containers made with --rm, which a stop removes for good: only told of when they are due,"
        " or warned of and stopped like others.",
        "report",
        choices=("report", "stop"),
    ),
    Key(
        "keep_alive_max_per_user",
        "count",
        "Containers that a user may keep at one time with .keep-alive files.",
        2,
        null="no limit",
    ),
    Key(
        "notice_dir",
        "plain_path",
        "Where the notices to users lie, a file for each uid, for that user and root to read.",
        "/var/lib/ds01/notices",
    ),
    Key(
        "mail_domain",
        "text",
        "Warnings are also mailed, to LOGIN at this domain.",
        null="no such mail",
        example="uni.example",
    ),
    Key(
        "mail_to_logins",
        "bool",
        "Whether warnings are mailed to logins that are mail addresses themselves.",
        default=False,
    ),
    Key(
        "jupyter_ports",
        "ports",
        "Ports at which a Jupyter server in a container is asked for its last activity.",
        (8888,),
    ),
    Key(
        "networks_unused_h",
        "hours",
        "How long a network must have been seen without containers before it is removed.",
        24,
        null="never",
    ),
    Key(
        "users_after_d",
        "days",
        "How long a user must have been gone before what is left of him is listed.",
        7,
    ),
)

_RULES: tuple[Key, ...] = tuple(
    Key(name, "choice", doc, null="as cleanup.mode", choices=_MODES)
    for name, doc in (
        ("idle", "Idle containers: warning, then stopping them."),
        ("runtime", "Containers past max_runtime_h: warning, then stopping them."),
        ("stopped", "Removing stopped containers after their hold."),
        ("created", "Removing containers that were never started."),
        ("images", "Removing images that are not used."),
        ("cache", "Pruning the build cache."),
        ("networks", "Removing networks that are not used."),
        ("gpu_holds", "Releasing the GPUs of stopped containers."),
        ("users", "What departed users have left."),
    )
)

_BREAKER: tuple[Key, ...] = (
    Key(
        "max_share",
        "fraction",
        "The part of the running containers that a run may stop, and of all that it may remove;"
        " if more are due, none is.",
        0.2,
        null="any part",
    ),
    Key("always", "count", "So many may be stopped or removed whatever part they are.", 2),
    Key(
        "max_users",
        "count",
        "Of how many users a run may stop or remove containers; if more are concerned, none is.",
        5,
        null="any number",
    ),
    Key(
        "after_boot_m",
        "minutes",
        "Time after the machine's start in which nothing is stopped or removed.",
        60,
    ),
    Key(
        "after_upgrade_m",
        "minutes",
        "Time after the first run of a new version in which nothing is stopped or removed.",
        60,
    ),
)

_IMAGES: tuple[Key, ...] = (
    Key(
        "high_percent",
        "percent",
        "Use of the disk with the images from which on images are removed.",
        85,
        unit="%",
        positive=True,
    ),
    Key(
        "low_percent",
        "percent",
        "Use of the disk down to which they are then removed.",
        80,
        unit="%",
        positive=True,
    ),
    Key(
        "min_age_h",
        "hours",
        "An image that was used, tagged or first seen later than this ago is never removed.",
        24,
    ),
    Key(
        "min_age_unseen_h",
        "hours",
        "The same where the engine had more events than it keeps since the image's last known use,"
        " so that a use of a few minutes may have gone unseen.",
        336,
        null="such images are never removed",
    ),
    Key(
        "keep_per_repository",
        "count",
        "The newest images of each repository, by build time, that are never removed.",
        1,
    ),
    Key(
        "keep",
        "texts",
        "References that are never removed; * and ? stand for any text and any letter.",
        (),
        example=("nvcr.io/nvidia/*",),
    ),
    Key(
        "keep_label",
        "text",
        "The label of images that are never removed.",
        "ds01.keep",
        null="no label",
    ),
    Key(
        "max_unused_d",
        "days",
        "Images unused for longer are removed however full the disk is.",
        null="no limit",
        example=90,
        positive=True,
    ),
)

_CACHE: tuple[Key, ...] = (
    Key(
        "keep_gib",
        "number",
        "The size to which the build cache is pruned, the longest unused first.",
        null="it is only reported",
        example=50,
        unit="GiB",
    ),
)

CLEANUP_SECTIONS: dict[str, tuple[Key, ...]] = {
    "cleanup": _CLEANUP,
    "cleanup.rules": _RULES,
    "cleanup.breaker": _BREAKER,
    "cleanup.images": _IMAGES,
    "cleanup.cache": _CACHE,
}
