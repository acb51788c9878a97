"""The rows of disk limits: of a path in ``storage``, of a tree, and of the section ``quota``."""

from __future__ import annotations

from ds01ctl.core.key import Key

_LIMIT: tuple[Key, ...] = (
    Key(
        "soft",
        "disk_size",
        "What may be crossed for as long as quota.grace_d says; without it none.",
        null="no limit",
        example="500G",
        unit="bytes",
    ),
    Key(
        "hard",
        "disk_size",
        "What cannot be crossed; without it a tenth above soft.",
        null="no limit",
        example="1T",
        unit="bytes",
    ),
    Key(
        "inodes_soft",
        "inodes",
        "As soft, for files and folders.",
        null="no limit",
        example="2M",
        unit="inodes",
    ),
    Key(
        "inodes_hard",
        "inodes",
        "As hard, for files and folders.",
        null="no limit",
        example="3M",
        unit="inodes",
    ),
)

STORAGE_LIMIT: tuple[Key, ...] = (
    *_LIMIT,
    Key(
        "until",
        "day",
        "The last day on which it holds, in the host's time zone; then the next layer does.",
        null="for ever",
        example="2026-12-24",
    ),
)

PROJECT: tuple[Key, ...] = (
    Key("path", "tree", "The folder that the limit is for, with all that is in it."),
    Key("owner", "login", "Who is told of it.", null="nobody"),
    *_LIMIT,
)

QUOTA: tuple[Key, ...] = (
    Key(
        "mode",
        "choice",
        "Whether `quota apply` sets disk limits, or only says what it would set.",
        "report",
        choices=("report", "enforce"),
    ),
    Key(
        "grace_d",
        "days",
        "How long a soft limit may be crossed until it holds like the hard one.",
        7,
        positive=True,
    ),
    Key(
        "warn_percent",
        "percents",
        "At which parts of their limit users are warned, once for each.",
        (80, 90, 100),
        unit="%",
    ),
    Key(
        "remind_days",
        "days",
        "When one who stays above is warned again.",
        7,
        positive=True,
    ),
    Key(
        "project_ids",
        "ids",
        "The project ids that are ours to give to trees of files.",
        "2000000-2999999",
    ),
    Key(
        "projects",
        "projects",
        "Trees of files with a limit of their own, by name.",
        example={
            "vision": {"path": "/scratch/vision", "owner": "labadmin", "soft": "1T"},
        },
    ),
)
