"""Render docs/reference/output.schema.json: the JSON Schema of what `--json` prints."""

from __future__ import annotations

import json
from typing import Any

from ds01ctl.core import (
    carbon_findings,
    cleanup_findings,
    enforce_findings,
    job_findings,
    project_findings,
    quota_model,
)
from ds01ctl.core.findings import KINDS
from ds01ctl.core.plan import SEVERITIES
from ds01ctl.report.document import SCHEMA

_TEXT = {"type": "string"}
_TIME = {"type": "string", "format": "date-time", "pattern": "Z$"}
_MAYBE_TEXT = {"type": ["string", "null"]}


def _object(**properties: Any) -> dict[str, Any]:
    """Every key is there, and no other."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _one_of(*values: str) -> dict[str, Any]:
    return {"enum": list(values)}


def schema() -> dict[str, Any]:
    """Build the schema."""
    gap = _object(source=_TEXT, kind=_one_of("absent", "failed", "denied"), reason=_TEXT)
    finding = _object(
        kind={
            "enum": [
                *KINDS,
                *job_findings.KINDS,
                *enforce_findings.KINDS,
                *project_findings.KINDS,
                *quota_model.FINDINGS,
                *cleanup_findings.KINDS,
                *carbon_findings.KINDS,
            ]
        },
        severity={"enum": list(SEVERITIES)},
        user=_MAYBE_TEXT,
        subject={"type": "object", "required": ["type"]},
        evidence={"type": "array", "items": _TEXT, "minItems": 1},
        first_seen={**_TIME, "type": ["string", "null"]},
        age_s={"type": ["integer", "null"], "minimum": 0},
        new={"type": "boolean"},
    )
    action = _object(
        kind=_TEXT,
        target=_TEXT,
        reason=_TEXT,
        outcome=_one_of("planned", "done", "skipped", "failed"),
        error=_MAYBE_TEXT,
    )
    error = _object(message=_TEXT, hint=_MAYBE_TEXT, exit_code={"enum": [1, 2, 5]})
    document = _object(
        schema={"const": SCHEMA},
        command=_TEXT,
        host=_TEXT,
        time=_TIME,
        status=_one_of("ok", "partial", "error"),
        gaps={"type": "array", "items": gap},
        findings={"type": "array", "items": finding},
        actions={"type": "array", "items": action},
        data={"type": "object"},
        error={"oneOf": [{"type": "null"}, error]},
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What every command of ds01ctl prints with --json",
        **document,
    }


def render() -> str:
    """Render the schema as a file."""
    return json.dumps(schema(), indent=2) + "\n"
