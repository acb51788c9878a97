"""Where users have their home: by the account file, then by the name service."""

from __future__ import annotations

import pwd
from pathlib import Path

from ds01ctl.observe import user_homes

NOBODY_HERE = 4_000_000_000


def test_the_file_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "passwd"
    file.write_text(
        "a:x:1001:1001::/srv/a:/bin/sh\nb:x:1001:1001::/srv/b:/bin/sh\nc:x:1002:1002::none:/bin/sh\n"
        "d:x:1003\n\n"
    )
    asked = [1001, 1002, 0, NOBODY_HERE]
    assert user_homes.read(asked, file, deadline_s=10) == {
        1001: "/srv/a", 0: pwd.getpwuid(0).pw_dir,
    }  # fmt: skip


def test_no_file(tmp_path: Path) -> None:
    assert user_homes.read([], tmp_path / "none", deadline_s=10) == {}
    assert user_homes.read([0], tmp_path / "none", deadline_s=10) == {0: pwd.getpwuid(0).pw_dir}
