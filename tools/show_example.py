"""Where a first run found neither NVML nor Docker: show what a GPU server looks like."""

import json
import subprocess
import sys


def main() -> None:
    """Run the same command on the shipped example host, where this one has nothing to show."""
    ds01ctl = [sys.executable, "-m", "ds01ctl", "detect", "unmanaged"]
    seen = subprocess.run([*ds01ctl, "--json"], capture_output=True, text=True, check=False)
    missing = {gap["source"] for gap in json.loads(seen.stdout)["gaps"]}
    if {"nvml", "docker"} <= missing:
        print("\nThis machine has neither NVML nor Docker. The same command on an example host:")
        print("$ ds01ctl detect unmanaged --replay example", flush=True)
        subprocess.run([*ds01ctl, "--replay", "example"], check=True)


if __name__ == "__main__":
    main()
