"""Run a hand-over in a process of its own, which a test may kill."""

import sys
from pathlib import Path

from ds01ctl.commands.giving_back import give_back
from ds01ctl.commands.taking_over import take_over
from tests.cron.conftest import AT_ONCE, NOW, Asked, Paths

# ROOT take|give NAME…
root, command, *names = sys.argv[1:]
act = {"take": take_over, "give": give_back}[command]
result = act(Asked(Paths(Path(root)), "gpu01", NOW), names, is_live=True, clock=AT_ONCE)
sys.exit(result.status != "ok")
