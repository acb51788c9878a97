"""The JSON Schema of each kind of key, for editors; the reader has the last word."""

from __future__ import annotations

from typing import Any

_SIZE = r"^\d+(\.\d+)?\s*([kmgtpeKMGTPE](i?[bB])?|[bB])?$"
_RATE = r"""^/[^\s"'%\\$]*\s+\d+(\.\d+)?[KMGTkmgt]?$"""
_NUMBER = {"type": "number", "minimum": 0}
TEXTS = {"type": "array", "items": {"type": ["string", "integer"]}}
SCHEMAS: dict[str, dict[str, Any]] = {
    "bool": {"enum": [True, False, "yes", "no", "on", "off", "Yes", "No", "On", "Off"]},
    "count": {"type": "integer", "minimum": 0},
    "number": _NUMBER,
    "fraction": {**_NUMBER, "maximum": 1},
    "percent": {**_NUMBER, "maximum": 100},
    "intensity": {**_NUMBER, "maximum": 3000},
    "pue": {"type": "number", "minimum": 1, "maximum": 10},
    "days": _NUMBER,
    "hours": _NUMBER,
    "minutes": _NUMBER,
    "seconds": _NUMBER,
    "size": {"anyOf": [{"type": "string", "pattern": _SIZE}, {"type": "integer"}]},
    "host_size": {
        "anyOf": [
            {"type": "string", "pattern": rf"{_SIZE}|^\d+(\.\d+)?\s*%$|^(infinity|max)$"},
            {"type": "integer"},
        ]
    },
    "cpu_quota": {"type": "string", "pattern": r"^\d+(\.\d+)?\s*%$|^infinity$"},
    "weight": {"type": "integer", "minimum": 1, "maximum": 10_000},
    "cpu_list": {
        "anyOf": [
            {"type": "string", "pattern": r"^\s*\d+(-\d+)?((\s*,\s*|\s+)\d+(-\d+)?)*\s*$"},
            {"type": "integer", "minimum": 0, "maximum": 8191},
        ]
    },
    "swap_size": {
        "anyOf": [
            {"type": "string", "pattern": rf"{_SIZE}|^(infinity|max)$"},
            {"type": "integer", "minimum": 0},
        ]
    },
    "device_rates": {
        "anyOf": [
            {"type": "string", "pattern": _RATE},
            {"type": "array", "items": {"type": "string", "pattern": _RATE}},
        ]
    },
    "percentage": {"type": "string", "pattern": r"^\d+(\.\d\d?)?\s*%$"},
    "text": {"type": ["string", "number"]},
    "path": {"type": "string", "pattern": "^/"},
    "plain_path": {"type": "string", "pattern": r"""^/[^"'\\$]+$"""},
    "log_path": {"type": "string", "pattern": r"""^/[^"'\\$\s*?\[\]{}]+$"""},
    "texts": TEXTS,
    "logins": TEXTS,
    "paths": {"type": "array", "items": {"type": "string", "pattern": "^/"}},
    "hosts": {"type": "array", "items": {"type": "string"}},
    "schedule": {"type": "string"},
    "address": {"type": "string", "pattern": "@"},
    "addresses": TEXTS,
    "percents": {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 100}},
    "ports": {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 65535}},
    "url": {"type": "string", "pattern": "^https?://[^?#]+$"},
    "login": {"type": ["string", "integer"]},
    "tree": {"type": "string", "pattern": "^/+[^/]"},
    "disk_size": {"type": "string", "pattern": _SIZE},
    "inodes": {
        "anyOf": [
            {"type": "string", "pattern": r"^\d+(\.\d+)?\s*[kKmMgG]?$"},
            {"type": "integer", "exclusiveMinimum": 0},
        ]
    },
    "day": {"type": "string", "pattern": r"^\d{4}-\d\d?-\d\d?$"},
    "ids": {"type": "string", "pattern": r"^\s*\d+\s*-\s*\d+\s*$"},
    "any": {},
}
