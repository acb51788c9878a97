"""Know people beyond a single look-up, in the child of users.py: local accounts, groups, homes.

What is told to the parent is a (kind, key, value) each.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from ds01ctl.observe import accounts
from ds01ctl.observe.users import printable

if TYPE_CHECKING:
    import pwd
    from collections.abc import Iterable
    from pathlib import Path

    from ds01ctl.observe.child import Reporter

_LEAST_PERSON = 1000
_NOBODY = 65534


class Ledger:
    """Keeps what the local file and the name service told, for the groups and for "gone"."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._local: accounts.LocalAccounts | None = None
        self._primary: set[tuple[str, int]] = set()
        self._lacks_a_file = False
        self._told_users: dict[int, str] = {}
        self._told_uids: dict[str, int] = {}

    # --- accounts ---

    def read_local(self, passwd: Path, nsswitch: Path) -> None:
        """Read the local account file, and tell of the people in it."""
        self._reporter.doing(f"read {passwd}")
        try:
            local = accounts.read_passwd(passwd)
        except FileNotFoundError:
            return
        except OSError as error:
            self._problem(f"read {passwd}", error)
            self._lacks_a_file = True
            return
        self._local = local
        self._primary.update((printable(one.login), one.gid) for one in local.by_login.values())
        people = [one for one in local.by_login.values() if _is_person(one.uid)]
        # a second line of a login makes no second person of it
        firsts = [one for one in people if local.by_uid[one.uid] is one]
        self._told_users = {one.uid: printable(one.login) for one in firsts}
        self._told_uids = {printable(one.login): one.uid for one in people}
        self._reporter.tell(("local", "users", self._told_users))
        self._reporter.tell(("local", "uids", self._told_uids))
        if accounts.has_no_directory(nsswitch, local):
            self._reporter.tell(("trust", "nsswitch", True))

    def tell_uid(self, uid: int) -> bool:
        """Tell who has a uid, if the local file does, and say whether it does."""
        account = self._local.by_uid.get(uid) if self._local else None
        if account and uid not in self._told_users:
            self._reporter.tell(("user", uid, printable(account.login)))
        return account is not None

    def tell_login(self, login: str) -> bool:
        """Tell the uid of a login, if the local file does, and say whether it does."""
        account = self._local.by_login.get(login) if self._local else None
        if account and login not in self._told_uids:
            self._reporter.tell(("uid", login, account.uid))
        return account is not None

    def note(self, entry: pwd.struct_passwd) -> None:
        """Keep an answer of the name service: for groups, and as a sign of a directory's life."""
        self._primary.add((printable(entry.pw_name), entry.pw_gid))
        if self._local and accounts.is_from_directory(entry.pw_name, entry.pw_uid, self._local):
            self._reporter.tell(("trust", "directory", True))

    def missed(self, function: str, key: int | str) -> None:
        """Tell whether "no such" was an answer, or the lack of one."""
        if isinstance(key, int) and not accounts.can_be_id(key):
            return
        if self._answered(function, key, f"uid {key}" if isinstance(key, int) else repr(key[:64])):
            self._reporter.tell(("gone", key, True))

    def _answered(self, function: str, key: int | str, what: str) -> bool:
        status = accounts.status_of(function, key)
        if status:
            self._reporter.tell(("silent", what, os.strerror(status)))
        return status == 0

    # --- groups ---

    def look_up_groups(self, names: Iterable[str], group: Path | None) -> None:
        """Tell the members of groups; of none, where a file that may name them is unreadable."""
        files: dict[str, accounts.LocalGroup] = {}
        if group is not None:
            self._reporter.doing(f"read {group}")
            try:
                files = accounts.read_group(group)
            except FileNotFoundError:
                pass
            except OSError as error:
                self._problem(f"read {group}", error)
                self._lacks_a_file = True
        for name in () if self._lacks_a_file else names:
            self._look_up_group(name, files.get(name))

    def _look_up_group(self, name: str, local: accounts.LocalGroup | None) -> None:
        import grp

        what = f"the group {name[:64]!r}"
        self._reporter.doing(f"look up {what}")
        members = set(local.members) if local else set()
        gids = {local.gid} if local else set()
        try:
            entry = grp.getgrnam(name)
        except ValueError:
            pass  # no group can be called that
        except KeyError:
            if not self._answered("getgrnam_r", name, what):
                return
        else:
            members.update(entry.gr_mem)
            gids.add(entry.gr_gid)
        members |= {login for login, gid in self._primary if gid in gids}
        self._reporter.tell(("group", name, frozenset(map(printable, members))))

    # --- homes ---

    def tell_homes(self, home_dirs: Iterable[str]) -> set[int]:
        """Tell who owns the folders directly below the home directories."""
        found: set[int] = set()
        for home in home_dirs:
            self._reporter.doing(f"list the homes in {home}")
            try:
                owners = self._owners_below(home)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._problem(f"list the homes in {home}", error)
                continue
            for uid in owners - found:
                self._reporter.tell(("home", uid, True))
            found |= owners
        return found

    def _owners_below(self, home: str) -> set[int]:
        found: set[int] = set()
        troubles: list[tuple[str, OSError]] = []
        with os.scandir(home) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name == "lost+found":
                    continue
                try:
                    found.add(_folder_owner(entry))
                except FileNotFoundError:
                    continue  # removed meanwhile, or a link to nowhere
                except OSError as error:
                    troubles.append((printable(entry.path), error))
        if troubles:
            path, first = troubles[0]
            more = f" and {len(troubles) - 1} more" if len(troubles) > 1 else ""
            self._problem(f"find the owner of {path}{more}", first)
        return found - {0}

    def _problem(self, what: str, error: OSError) -> None:
        kind = "denied" if isinstance(error, PermissionError) else "failed"
        self._reporter.tell(("problem", f"cannot {what}: {error.strerror}", kind))


def _is_person(uid: int) -> bool:
    return uid >= _LEAST_PERSON and uid != _NOBODY


def _folder_owner(entry: os.DirEntry[str]) -> int:
    """Read the owner of a folder, 0 of anything else; only root's links are followed."""
    info = entry.stat(follow_symlinks=False)
    if stat.S_ISLNK(info.st_mode) and info.st_uid == 0:
        info = entry.stat()
    return info.st_uid if stat.S_ISDIR(info.st_mode) else 0
