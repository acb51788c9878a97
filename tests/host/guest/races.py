"""Users who pull, tag, create and start while root cleans up: does any command of theirs fail.

Runs in the guest: ``races.py NUMBER AT_ONCE RECORD``. A pull ends with a load, and no registry can
be reached: so a load is what stands for it here. The record is JSON: of each race its kind, and
what was done when, and with what error.
"""

from __future__ import annotations

import io
import json
import random
import sys
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGE = "ds01/busybox:1"
KINDS = ("load", "tag", "build", "create", "start", "again")
# until cleanup is about to remove what lies there
OLD_S = (2.0, 20.0)


class Race:
    """One user against the cleanup of one image, or of one container."""

    def __init__(self, number: int, client: Any) -> None:
        self.kind, self._reference = KINDS[number % len(KINDS)], f"race/r{number}:1"
        self._client, self._random = client, random.Random(number)
        self.steps: list[dict[str, Any]] = []

    def run(self) -> dict[str, Any]:
        """Let something get old, use it, see that it is there, and take it away."""
        getattr(self, f"_{self.kind}")()
        return {"kind": self.kind, "name": self._reference, "steps": self.steps}

    def _load(self) -> None:
        self._import("old")
        packed = b"".join(self._client.get_image(self._reference))
        self._get_old()
        self._do("load", lambda: list(self._client.load_image(packed) or ()))
        self._use(self._reference)

    def _tag(self) -> None:
        self._import("old")
        self._get_old()
        mine = f"{self._reference}-mine"
        if self._do("tag", lambda: self._client.tag(self._reference, *mine.split(":"))):
            self._use(mine)

    def _build(self) -> None:
        self._import("old")
        self._get_old()
        self._do("build", lambda: self._import("new"))
        self._use(self._reference)

    def _create(self) -> None:
        self._import("old")
        self._get_old()
        self._use(self._reference, is_fresh=False)

    def _start(self) -> None:
        if made := self._made(IMAGE, ["sleep", "1000"]):
            time.sleep(self._random.uniform(1, 20))
            self._run(made)

    def _again(self) -> None:
        if made := self._made(IMAGE, ["echo"]):
            self._do("first start", lambda: self._client.start(made))
            time.sleep(self._random.uniform(1, 20))
            self._run(made, "start again")

    # --- deeds ---

    def _use(self, reference: str, *, is_fresh: bool = True) -> None:
        what = "create" if is_fresh else "create of old"
        if made := self._made(reference, ["/who"], what):
            time.sleep(self._random.uniform(0, 4))
            self._do("look", lambda: self._client.inspect_image(self._image_of(made)))
            self._remove(made)

    def _image_of(self, id_: str) -> str:
        return str(self._client.inspect_container(id_)["Image"])

    def _run(self, id_: str, what: str = "start") -> None:
        if self._do(what, lambda: self._client.start(id_)):
            self._do("look", lambda: self._client.inspect_container(id_))
        self._remove(id_)

    def _made(self, image: str, command: list[str], what: str = "create") -> str | None:
        config = self._client.create_host_config(network_mode="none")

        def create() -> Any:
            return self._client.create_container(image, command, host_config=config)

        made = self._do(what, create)
        return str(made["Id"]) if made else None

    def _remove(self, id_: str) -> None:
        self._do("remove", lambda: self._client.remove_container(id_, force=True))

    def _import(self, content: str) -> bool:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            told = f"{self._reference} {content}".encode()
            entry = tarfile.TarInfo("who")
            entry.size = len(told)
            tar.addfile(entry, io.BytesIO(told))
        repository, _, tag = self._reference.rpartition(":")
        self._client.import_image_from_data(
            packed.getvalue(), repository=repository, tag=tag, changes=["CMD /who"]
        )
        return True

    def _get_old(self) -> None:
        time.sleep(self._random.uniform(*OLD_S))

    def _do(self, what: str, call: Callable[[], Any]) -> Any:
        row = {"what": what, "begin": time.time(), "error": None}
        self.steps.append(row)
        answer = None
        try:
            # what answers nothing has been done all the same
            answer = call() or True
        except docker.errors.APIError as error:
            row["error"] = str(error.explanation)
        row["end"] = time.time()
        return answer


def main(number: int, at_once: int, record: Path) -> None:
    """Run so many races, and write down what came of them."""
    client = docker.APIClient(version="auto", timeout=120)
    with ThreadPoolExecutor(at_once) as pool:
        raced = list(pool.map(lambda one: Race(one, client).run(), range(number)))
    record.write_text(json.dumps(raced))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
