"""What is generated from the table of keys: the JSON Schema, the example file, the reference."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ds01ctl.config.blocks import OF_MAPS, Block, host_block, limits_blocks
from ds01ctl.config.reference_text import INTRODUCTION, LOGIN, PROJECTS, STORAGE
from ds01ctl.config.schemas import SCHEMAS, TEXTS
from ds01ctl.config.storage import limit_block, project_block
from ds01ctl.config.values import LISTS, expected
from ds01ctl.core.host_keys import HOST_SECTIONS, TOP
from ds01ctl.core.keys import AGGREGATE, CONTAINER_TYPE, GROUP, LIMITS, POLICIES
from ds01ctl.core.storage_keys import PROJECT, STORAGE_LIMIT

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
    if key.kind in OF_MAPS:
        return _map_of_limits(key.kind)
    if key.kind in {"choice", "choices"}:
        words: dict[str, Any] = {"enum": list(key.choices)}
        inner: dict[str, Any] = {"type": "array", "items": words}
        inner = inner if key.kind == "choices" else words
    else:
        inner = dict(SCHEMAS[key.kind])
    if key.positive and inner.get("minimum") == 0:
        inner["exclusiveMinimum"] = inner.pop("minimum")
    if key.most is not None:
        inner["maximum"] = key.most
    if key.null or key.kind in LISTS:
        return {"anyOf": [inner, {"type": "null"}, *_unlimited(key)]}
    return inner


def _map_of_limits(kind: str) -> dict[str, Any]:
    if kind == "projects":
        project = {**_object(project_block()), "type": "object", "required": ["path"]}
        return {**_map_of(project), "propertyNames": {"pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]*$"}}
    size = {"type": ["string", "null"], "pattern": f"{SCHEMAS['disk_size']['pattern']}|^unlimited$"}
    limit = {**_object(limit_block()), "type": "object", "minProperties": 1}
    return {**_map_of({"anyOf": [size, limit]}), "propertyNames": {"pattern": "^/"}}


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
        *_example_lines((*LIMITS[:1], *GROUP), "    "),
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
    return _flow(key.default if key.example is None else key.example)


def _flow(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(str, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_flow(item)}" for name, item in value.items()) + "}"
    is_plain = isinstance(value, str) and "%" not in value and not value.startswith("*")
    return str(value) if is_plain else json.dumps(value)


def reference() -> str:
    """Write docs/reference/policy.md."""
    parts = [INTRODUCTION]
    parts += [_table("defaults, groups.NAME, user overrides", LIMITS)]
    parts += [_table("storage.PATH", STORAGE_LIMIT), STORAGE]
    parts += [_table("groups.NAME alone", GROUP)]
    parts += [_table("groups.NAME.aggregate, user overrides: aggregate", AGGREGATE)]
    parts += [LOGIN]
    parts += [_table("policies, groups.NAME.policies, user overrides: policies", POLICIES)]
    parts += [_table("container_types.NAME", CONTAINER_TYPE)]
    parts += [_table("top of the file", TOP)]
    rest = {name: keys for name, keys in HOST_SECTIONS.items() if name != "policies"}
    parts += [_table(name, keys) for name, keys in rest.items() if keys]
    parts += [_table("quota.projects.NAME", PROJECT), PROJECTS]
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


if __name__ == "__main__":
    print(reference(), end="")
