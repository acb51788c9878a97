"""What docs/reference/policy.md says beside its tables."""

from __future__ import annotations

INTRODUCTION = """\
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
4. `cleanup` asks the container's type after the user's own override and before the group, for all
   that the platform did not make itself: `container_types.TYPE`. A type without an entry counts as
   `unknown`; a key that the entry does not have is the group's.
5. A login is looked up as written, then in the form that slice names have (no domain, `_` for
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
STORAGE = """\
A limit holds for the file system that holds the path. For each path the first layer that names it
holds as a whole: `user-overrides.yaml`, `user_overrides`, the group, `defaults`; after the day in
`until` the next one does. `null` for a path is no limit, whatever the weaker layers say; `storage:`
with nothing in it is an empty map. A size in the place of the map is `soft`. Limits are rounded up
to multiples of 64 KiB, which every file system keeps as they are. Sizes are in powers of 1024
(`100G` is 100 GiB), numbers of inodes in powers of 1000 (`2M` is 2,000,000).

```yaml
groups:
  student:
    storage:
      /home: 100G                                # soft; hard is a tenth more, 110 GiB
      /scratch: {soft: 500G, hard: 1T, inodes_soft: 2M, inodes_hard: 3M}
```
"""
PROJECTS = """\
Names have up to 64 letters, digits, `_`, `-` and `.`; they begin with none of the last two, and are
not digits only. No folder of a project lies in that of another. A project without a limit is
counted only.
"""
LOGIN = """\
`aggregate` bounds each of a person's two homes: all containers together (`ds01-GROUP-USER.slice`),
and all log-ins together (`user-UID.slice`). A quota of four cores is four for the one and four for
the other.

## groups.NAME.login, user overrides: login

The keys of `aggregate` without `gpu_limit`, for log-ins (`user-UID.slice`) where they should differ
from `aggregate`. A key that is set in `login` nowhere is as in `aggregate`; `null` in `login` is
no limit for log-ins, whatever `aggregate` says.
"""
