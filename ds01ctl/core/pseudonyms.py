"""Stand-ins for what names a person, a host or a project: the same one for the same original.

What decisions rest on keeps its shape: the user part of a slice, the uid at the end of a name,
the prefix of a container name, a path's place under a home.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ds01ctl.core.policy import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FIRST_UID = 1000
"""Below it are the system's own."""
_NOBODY = 65534
_LAST_UID = 0xFFFFFFFE
_SYSTEM_LOGINS = frozenset({"", "root", "nobody", "unknown", "none"})
_SLICE = "slice "
# as core.owner reads labels: anything else claims nobody
_LOGIN = r"[^\s/:\x00-\x1f\x7f]{1,256}"
_NUMBER = r"0|[1-9][0-9]{0,9}"
_NAME_PREFIXES = ("vsc-", "vscode-", "jupyter-", "ds01-", "k8s_")
_GPU = re.compile(r"(?:MIG|GPU)-(?!GPU-)[0-9A-Za-z-]+")
_ID_LENGTH = 64
_HEX = re.compile(r"(?<![0-9a-zA-Z])[0-9a-f]{12,64}(?![0-9a-zA-Z])")
# told apart in one go, so that a stand-in is never replaced again
_WORDS = "|".join(
    (
        f"(?P<gpu>{_GPU.pattern})",
        r"(?P<uuid>[0-9a-f]{8}(?P<dash>[-_])(?:[0-9a-f]{4}(?P=dash)){3}[0-9a-f]{12})",
        f"(?P<id>{_HEX.pattern})",
        r"(?P<ip>(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.]))",
    )
)
_PATH = r"(?P<path>/[\w.@+-]+(?:/[\w.@+-]+)+)"
# their contents are the distribution's, not people's
_SYSTEM_ROOTS = frozenset(
    {"bin", "boot", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "usr"}
)
_PLAIN_ELEMENTS = frozenset(
    """_data bare-metal-grants data datasets docker docker.sock ds01 ds01-infra export home homes
    lib local log mnt models nfs opt overlay2 root run scratch shared srv state tmp users var
    volumes workspace workspaces""".split()  # noqa: SIM905 -- thirty lines as a list
)
# a login or container of this name must not spoil what its word says elsewhere
_STRUCTURE = _SYSTEM_ROOTS | frozenset(
    """all app besteffort buildkit burstable cgroup conmon containerd cri crio cuda docker ds01 gpu
    init job kubepods libpod libvirt lxc machine mlc mig mps nerdctl none nspawn nvidia payload pod
    podman python python3 scope server service session slice slurm slurmstepd socket step system
    systemd true uid user void""".split()  # noqa: SIM905 -- as above
)
_HOMES = frozenset({"home", "homes", "users", "Users"})


class Pseudonyms:
    """Hands out stand-ins, and remembers them."""

    def __init__(
        self,
        host: str,
        logins: Mapping[str, int],
        uid_ranges: Iterable[tuple[int, int, int]],
        gpus: Iterable[str] = (),
    ) -> None:
        """Take the host's name, uids by login, lines of uid_map, and the UUIDs that exist."""
        self._taken = {host, *logins, *map(canonical, logins), *map(str, logins.values())}
        self._uid_of = logins
        # (inside, outside, length) of user namespaces that hold many users
        ranges = [r for r in uid_ranges if r[2] > 1]
        self._ranges = [r for r in ranges if r[1] >= FIRST_UID]
        # these numbers stay in the uid_map: no stand-in may become one of them by chance
        self._starts = {outside for _, outside, _ in ranges}
        self._taken |= set(map(str, self._starts))
        self._gpus = tuple(gpus)
        self._count: dict[str, int] = {"host": 1}
        self._made: dict[tuple[str, str], str] = {("host", host): "host1"}
        self._uids: dict[int, int] = {}
        self._words = re.compile(_WORDS)
        self._text = re.compile(f"{_PATH}|{_WORDS}")
        self._forms: dict[str, set[str]] = {}
        for login in sorted(logins):
            self._forms.setdefault(canonical(login), set()).add(self.login(login))

    def seen_all(self) -> None:
        """Note that every name has been asked for once, so that ``text`` can find them all."""
        kinds = {"host", "user", "name"}
        names = {name.removeprefix(_SLICE) for kind, name in self._made if kind in kinds}
        names |= {str(uid) for uid in self._uids} | set(self._forms)
        names = {name for name in names if not _is_structure(name)}
        longest_first = sorted(names, key=lambda name: (-len(name), name))
        known = "|".join(map(re.escape, longest_first))
        words = rf"{_WORDS}|(?P<name>(?<![0-9A-Za-z])(?:{known})(?![0-9A-Za-z]))"
        self._words = re.compile(words)
        self._text = re.compile(f"{_PATH}|{words}")

    def word(self, kind: str, original: str) -> str:
        """Give ``kind`` and a number."""
        key = (kind, original)
        if key not in self._made:
            number = self._count.get(kind, 0) + 1
            while f"{kind}{number}" in self._taken:
                number += 1
            self._count[kind] = number
            self._taken.add(f"{kind}{number}")
            self._made[key] = f"{kind}{number}"
        return self._made[key]

    def host(self, name: str) -> str:
        """Replace a host name."""
        return self.word("host", name)

    def login(self, name: str) -> str:
        """Replace a login; those of the system stay, and what can be no login stays none."""
        uid = self._uid_of.get(name)
        if name in _SYSTEM_LOGINS or (uid is not None and self.uid(uid) == uid):
            return name
        if not re.fullmatch(_LOGIN, name):
            return self.word("no login ", name)
        if uid is None and re.fullmatch(_NUMBER, name):
            return str(self.uid(int(name)))
        return self.word("user", name)

    def uid(self, uid: int) -> int:
        """Replace a uid; one from a user namespace moves as the uid inside does."""
        if uid < FIRST_UID or uid == _NOBODY or uid >= _LAST_UID or uid in self._starts:
            return uid
        if uid not in self._uids:
            number = self._moved(uid) or 20001 + len(self._uids)
            while str(number) in self._taken:
                number += 1
            self._taken.add(str(number))
            self._uids[uid] = number
        return self._uids[uid]

    def _moved(self, uid: int) -> int | None:
        """Move a uid of a user namespace; None for one of the host, or of a map full of loops."""
        for inside, outside, length in self._ranges:
            within = uid - outside + inside
            if outside <= uid < outside + length and not self._is_mapped(within):
                return self.uid(within) - inside + outside
        return None

    def _is_mapped(self, uid: int) -> bool:
        return any(outside <= uid < outside + length for _, outside, length in self._ranges)

    def id(self, hexadecimal: str) -> str:
        """Replace a container id, or a beginning of at least 12 digits of one that was met."""
        known = (o for kind, o in self._made if kind == "c" and o.startswith(hexadecimal))
        is_whole = len(hexadecimal) == _ID_LENGTH or ("c", hexadecimal) in self._made
        number = self.word("c", hexadecimal if is_whole else next(known, hexadecimal))[1:]
        return f"c{int(number):011x}".ljust(64, "0")[: len(hexadecimal)]

    def gpu(self, text: str) -> str:
        """Replace the UUIDs of GPUs and MIG devices, shortened ones too."""
        return _GPU.sub(lambda match: self._gpu(match[0]), text)

    def _gpu(self, uuid: str) -> str:
        kind = uuid[:3]
        fitting = [] if uuid in self._gpus else [o for o in self._gpus if o.startswith(uuid)]
        if len(fitting) > 1:
            # what fits several names none, and so must its stand-in
            return f"{kind}-0"
        number = int(self.word(kind, *(fitting or [uuid]))[len(kind) :]) - 1
        made = f"{kind}-{number:08x}-0000-0000-0000-000000000000"
        return made[:-1] if fitting else made

    def container_name(self, name: str) -> str:
        """Replace a container's name; what says how it was made stays."""
        if match := re.fullmatch(r"(.+)\._\.(\d{1,10})", name):
            return f"{self.word('name', match[1])}._.{self.uid(int(match[2]))}"
        prefix = next((p for p in _NAME_PREFIXES if name.startswith(p)), "")
        rest = name.removeprefix(prefix)
        suffix = match[0] if (match := re.search(r"[-_]\d{1,3}\Z", rest)) else ""
        rest = rest.removesuffix(suffix)
        if rest in self._uid_of:
            return f"{prefix}{self.login(rest)}{suffix}"
        return f"{prefix}{self.word('name', rest)}{suffix}" if rest else name

    def path(self, path: str) -> str:
        """Replace the people and projects in a path; its place in the tree stays."""
        if not path.startswith("/"):
            return self.word("volume", path) if path else path
        elements = path.split("/")
        is_system = elements[1] in _SYSTEM_ROOTS or path.startswith("/var/run/")
        made = [
            self._path_element(element, before, is_system=is_system)
            for before, element in zip(["", *elements[:-1]], elements, strict=True)
        ]
        return "/".join(made)

    def _path_element(self, element: str, before: str, *, is_system: bool) -> str:
        if element == "" or element in _PLAIN_ELEMENTS:
            return element
        if before in _HOMES or element in self._uid_of:
            return self.login(element)
        stem, dot, suffix = element.rpartition(".")
        if stem in self._uid_of:
            return f"{self.login(stem)}{dot}{suffix}"
        if re.fullmatch(_NUMBER, element):
            return str(self.uid(int(element))) if before == "user" or not is_system else element
        if _HEX.fullmatch(element):
            return self.id(element)
        return self.words(element) if is_system else self.word("dir", element)

    def slice_user(self, part: str) -> str:
        """Replace the user part of a slice name."""
        if match := re.fullmatch(r"u(\d{1,10})", part):
            return f"u{self.uid(int(match[1]))}"
        logins = self._forms.get(part, set())
        # one that two logins share names nobody, and so does its stand-in
        own = canonical(next(iter(logins))) if len(logins) == 1 else ""
        return own or self.word("user", _SLICE + part)

    def words(self, text: str) -> str:
        """Replace the names, ids and uids that stand in a text as words of their own."""
        return self._words.sub(self._stand_in, text)

    def text(self, text: str) -> str:
        """Replace what a message for people may name, paths included."""
        return self._text.sub(self._stand_in, text)

    def _stand_in(self, match: re.Match[str]) -> str:
        rules = {
            "path": self.path,
            "gpu": self._gpu,
            "uuid": self._uuid,
            "id": self.id,
            "ip": lambda _: "192.0.2.1",
            "name": self._known,
        }
        return rules[match.lastgroup or ""](match[0])

    def _uuid(self, uuid: str) -> str:
        number = int(self.word("pod", uuid)[3:])
        return re.sub("[0-9a-f]{8}", f"{number:08x}", re.sub("[0-9a-f]", "0", uuid), count=1)

    def _known(self, name: str) -> str:
        if ("host", name) in self._made:
            return self.host(name)
        if name.isdecimal() and int(name) in self._uids:
            return str(self.uid(int(name)))
        if ("name", name) in self._made:
            return self.word("name", name)
        return self.login(name) if ("user", name) in self._made else self.slice_user(name)


def _is_structure(name: str) -> bool:
    """Tell whether decisions rest on every word of a name: ``ds01.slice``, ``docker-ID``."""
    parts = re.split(r"[-_.:]", name)
    return all(part in _STRUCTURE or not part or _HEX.fullmatch(part) for part in parts)
