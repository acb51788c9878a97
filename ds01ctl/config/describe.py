"""What is generated from the table of keys: the JSON Schema, the example file, the reference."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ds01ctl.config.blocks import Block, host_block, limits_blocks
from ds01ctl.config.schemas import SCHEMAS, TEXTS
from ds01ctl.config.values import LISTS, expected
from ds01ctl.core.host_keys import HOST_SECTIONS, TOP
from ds01ctl.core.keys import AGGREGATE, CONTAINER_TYPE, LIMITS, POLICIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ds01ctl.core.key import Key

_DURATION = {"type": ["string", "null"], "pattern": r"^(\d+(\.\d+)?\s*[dhms]\w*\s*)+$"}


def schema() -> dict[str, Any]:
    """Make the JSON Schema (draft 2020-12) of resource-limits.yaml, for editors."""
    blocks = limits_blocks()
    top = _object(host_block())
    group = _object(blocks["group"])
    group["properties"]["members"] = {**TEXTS, "type": ["array", "null"]}
    top["properties"] |= {
        "defaults": _object(blocks["defaults"]),
        "groups": _map_of(group),
        "user_overrides": _map_of(_object(blocks["override"])),
        "container_types": _map_of(_object(blocks["container type"])),
    }
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "DS01 policy"}
    return {**head, **top}


def _object(block: Block) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for name, (key, rank) in block.spellings.items():
        properties[name] = _property(key) if rank < 2 else dict(_DURATION)
        if rank == 2 and name.endswith("_seconds"):
            properties[name]["type"] = ["string", "number", "null"]
        properties[name]["description"] = key.doc
        if rank:
            properties[name] |= {"deprecated": True, "description": f"Old name of {key.name}."}
    properties |= {name: _object(inner) for name, inner in block.nested.items()}
    return {"type": ["object", "null"], "properties": properties, "additionalProperties": False}


def _map_of(inner: dict[str, Any]) -> dict[str, Any]:
    return {"type": ["object", "null"], "additionalProperties": inner}


def _property(key: Key) -> dict[str, Any]:
    if key.kind == "any":
        return {}
    if key.kind in {"choice", "choices"}:
        words: dict[str, Any] = {"enum": list(key.choices)}
        inner = {"type": "array", "items": words} if key.kind == "choices" else words
    else:
        inner = dict(SCHEMAS[key.kind])
    if key.positive and inner.get("minimum") == 0:
        inner["exclusiveMinimum"] = inner.pop("minimum")
    if key.null or key.kind in LISTS:
        return {"anyOf": [inner, {"type": "null"}, *_unlimited(key)]}
    return inner


def _unlimited(key: Key) -> list[dict[str, Any]]:
    return [{"const": "unlimited"}] if key.null and key.kind != "choice" else []


def example() -> str:
    """Write an example policy in which every line that sets something is commented out."""
    lines = [
        "# The policy of ds01ctl. Take away the '# ' before a line to set it; what is not set",
        "# here has its built-in value, or no limit. Check with: ds01ctl config check",
        "",
        *_example_lines(TOP, ""),
        "",
        "# What a user may use. A group's values go before these, a user's own before the group's.",
        *_example_map("defaults:", LIMITS, ""),
        "groups:",
        "  # student:",
        *_example_lines(LIMITS[:1], "    "),
        "  #   aggregate:",
        *_example_lines(AGGREGATE, "      "),
        "  #   login:  # the keys of aggregate but gpu_limit, for log-ins where they differ",
        "# Members of a group: one login per line in groups/NAME.members beside this file.",
        "",
        "container_types:",
        "  # docker:",
        *_example_lines([key for key in CONTAINER_TYPE if key.effect], "    "),
        "",
    ]
    for section, keys in HOST_SECTIONS.items():
        if "." not in section and (not keys or any(key.effect for key in keys)):
            lines += _example_map(f"{section}:", keys, section)
    return "\n".join(lines).rstrip() + "\n"


def _example_map(head: str, keys: Sequence[Key], section: str) -> list[str]:
    inner: list[str] = []
    for name, more in HOST_SECTIONS.items():
        if section and name.startswith(f"{section}."):
            inner += [f"  # {name.rpartition('.')[2]}:", *_example_lines(more, "    ")]
    return [head, *_example_lines(keys, "  "), *inner, ""]


def _example_lines(keys: Iterable[Key], indent: str) -> list[str]:
    """Write ``# key: value  # what it is``; the mark of all lines of a part is in one column."""
    lead = indent[:2] + "# " + indent[2:]
    shown = [(f"{lead}{key.name}: {shown_value(key)}", key) for key in keys if key.effect]
    width = min(max((len(text) for text, _ in shown), default=0), 44)
    return [f"{text:<{width}}  # {_with_unit(key)}" for text, key in shown]


def _with_unit(key: Key) -> str:
    null = f" null: {key.null}." if key.null else ""
    return key.doc + null


def shown_value(key: Key) -> str:
    """Write a key's example, or else its built-in value, as YAML."""
    value = key.default if key.example is None else key.example
    if isinstance(value, tuple):
        return "[" + ", ".join(value) + "]"
    is_plain = isinstance(value, str) and "%" not in value and not value.startswith("*")
    return str(value) if is_plain else json.dumps(value)


def reference() -> str:
    """Write docs/reference/policy.md."""
    parts = [_INTRODUCTION]
    parts += [_table("defaults, groups.NAME, user overrides", LIMITS)]
    parts += [_table("groups.NAME.aggregate, user overrides: aggregate", AGGREGATE)]
    parts += [_LOGIN]
    parts += [_table("policies, groups.NAME.policies, user overrides: policies", POLICIES)]
    parts += [_table("container_types.NAME", CONTAINER_TYPE)]
    parts += [_table("top of the file", TOP)]
    rest = {name: keys for name, keys in HOST_SECTIONS.items() if name != "policies"}
    parts += [_table(name, keys) for name, keys in rest.items() if keys]
    return "\n".join([*parts, _old_names()])


def _table(title: str, keys: Sequence[Key]) -> str:
    lines = [f"## {title}", ""]
    if any(key.effect for key in keys):
        lines += ["| Key | Meaning | Accepts | Built in |", "|---|---|---|---|"]
        lines += [_row(key) for key in keys if key.effect]
        lines += [""]
    if idle := [f"`{key.name}`" for key in keys if not key.effect]:
        lines += [f"Known, without effect: {', '.join(idle)}.", ""]
    return "\n".join(lines)


def _row(key: Key) -> str:
    unit = f" Unit: {key.unit}." if key.unit else ""
    built_in = "" if key.default is None else f"`{_shown_default(key)}`"
    return f"| `{key.name}` | {key.doc}{unit} | {expected(key)} | {built_in} |"


def _shown_default(key: Key) -> str:
    return shown_value(key._replace(example=None))


def _old_names() -> str:
    keys = {key.name: key for key in (*LIMITS, *POLICIES, *HOST_SECTIONS["bare_metal_access"])}
    aliases = [
        f"| `{old}` | `{key.name}` | the same |" for key in keys.values() for old in key.aliases
    ]
    spans = [
        f"| `{key.old}` | `{key.name}` | with its unit: `24h`, `0.5h`, `90m`, `30s`, `1d` |"
        for key in keys.values()
        if key.old
    ]
    head = [
        "## Old names",
        "",
        "Accepted, with a warning.",
        "",
        "| Old | Now | Value |",
        "|---|---|---|",
    ]
    return "\n".join([*head, *aliases, *spans]) + "\n"


_INTRODUCTION = """\
# The policy file

Generated from the table of keys; do not edit.

Looked for in this order: `--config FILE`, `$DS01_CONFIG`, `/etc/ds01/resource-limits.yaml`,
`/opt/ds01-infra/config/runtime/resource-limits.yaml`.
A file that is there and cannot be read, or has an error in it, stops every command with exit
code 1; it never counts as an empty one. Without any file the built-in values hold, and no limits.

An unknown key is an error. A section that holds only comments is an empty one.
`null` is a value, not a missing one: it means no limit, in every layer.
`true`, `yes`, `on` and `false`, `no`, `off` are accepted for yes and no.

## Which value holds

1. A user's group: from `groups/NAME.members` beside the policy, or the group's own `members` list;
   in none of them, `default_group`. Of two groups the one that `group-overrides.txt` names holds,
   else the one that the policy defines first. `archived.members` is no group.
2. A user's limit, key by key: `user-overrides.yaml`, then `user_overrides` in the policy,
   then the group, then `defaults`. The keys of `aggregate`, `login` and `policies` are
   merged one by one as well. A key that none of these sets in `login` is as in `aggregate`.
   `policies` goes on to the top of the file, then to the built-in value.
3. An override never changes the group.
4. A login is looked up as written, then in the form that slice names have (no domain, `_` for
   all but letters and digits). A form that two configured logins share is nobody's.

## Files beside the policy

They lie in the folder of the policy file; if that is a link, in the folder of the file it leads to.

| File | Content |
|---|---|
| `groups/NAME.members` | one login per line; `#` begins a comment |
| `group-overrides.txt` | `login:group`, where the group sync puts one; alone it changes nothing |
| `user-overrides.yaml` | login to limits |
| `lifecycle-exemptions.yaml` | `exemptions:`, a list of rows, below |

A row of `lifecycle-exemptions.yaml`:

| Key | Content |
|---|---|
| `username` | login |
| `category` | `research_grant` or `waiver` |
| `exempt_from` | a list of `idle_timeout_h`, `max_runtime_h`, `gpu_hold_after_stop_h`, \
`container_hold_after_stop_h`, `unmanaged-container`, `host-gpu-process`, `resource-limits` |
| `reason`, `approved_by` | text |
| `approved_on` | date |
| `expires_on` | a date, a date and time, or `null` for ever |

`resource-limits` is leave from everything that `enforce` limits.

Dates may be quoted or not: `2026-06-30`, `2026-06-30T23:59:59Z`, `2026-06-30 12:00:00 +02:00`.
A date alone lasts until the midnight at its end; it and a time without a zone are in the host's
own time zone. An expired row stays, for the record, and counts for nothing.

## Sizes and percentages

Units of sizes are powers of 1024, in Docker's spelling (`32g`) or systemd's (`96G`).
Units of rates (`/dev/nvme0n1 500M`) are powers of 1000, as systemd has them.
"""
_LOGIN = """\
`aggregate` bounds each of a person's two homes: all containers together (`ds01-GROUP-USER.slice`),
and all log-ins together (`user-UID.slice`). A quota of four cores is four for the one and four for
the other.

## groups.NAME.login, user overrides: login

The keys of `aggregate` without `gpu_limit`, for log-ins (`user-UID.slice`) where they should differ
from `aggregate`. A key that is set in `login` nowhere is as in `aggregate`; `null` in `login` is
no limit for log-ins, whatever `aggregate` says.
"""


if __name__ == "__main__":
    print(reference(), end="")
