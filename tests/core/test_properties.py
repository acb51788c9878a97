"""A limit's value is one text, whoever wrote it: the policy, a unit file, systemctl, the kernel."""

import pytest

from ds01ctl.core.properties import (
    BY_NAME,
    NONE,
    is_above,
    of_kernel,
    of_policy,
    of_show,
    shown,
    written,
)

GIB = 1 << 30
NODES = {"8:0": "/dev/sda", "259:0": "/dev/nvme0n1"}
NUMBERS = {node: number for number, node in NODES.items()}


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("CPUQuota", 4800, "4800%"),
        ("CPUQuota", 33.333, "33.33%"),
        ("CPUQuota", None, NONE),
        ("MemoryMax", 96 * GIB, str(96 * GIB)),
        ("MemoryMax", 96 * GIB + 5, str(96 * GIB)),
        ("MemoryMax", "50%", str(128 * GIB)),
        ("MemoryMax", None, NONE),
        ("MemorySwapMax", 0, "0"),
        ("TasksMax", 12288, "12288"),
        ("CPUWeight", 50, "50"),
        ("CPUWeight", 100, NONE),
        ("AllowedCPUs", "0-15,32", "0-15,32"),
        ("ManagedOOMSwap", "auto", NONE),
        ("ManagedOOMSwap", "kill", "kill"),
        ("ManagedOOMMemoryPressureLimit", 60, "60%"),
    ],
)
def test_of_policy(name: str, value: object, text: str) -> None:
    assert of_policy(BY_NAME[name], value, 256 * GIB, 4096) == text


@pytest.mark.parametrize(
    ("name", "printed", "text"),
    [
        ("CPUQuota", "48s", "4800%"),
        ("CPUQuota", "1min 36s", "9600%"),
        ("CPUQuota", "1.500000s", "150%"),
        ("CPUQuota", "333.300ms", "33.33%"),
        ("CPUQuota", "infinity", NONE),
        ("MemoryMax", "524288000", "524288000"),
        ("MemoryMax", "infinity", NONE),
        ("MemoryMax", str(2**64 - 1), NONE),
        ("MemorySwapMax", "0", "0"),
        ("TasksMax", "200", "200"),
        ("CPUWeight", "[not set]", NONE),
        ("CPUWeight", "100", NONE),
        ("IOWeight", "50", "50"),
        ("AllowedCPUs", "0-3 8", "0-3,8"),
        ("AllowedCPUs", "", NONE),
        ("IOReadBandwidthMax", "/dev/sda 10000000\n/dev/nvme0n1 5", "259:0 5, 8:0 10000000"),
        ("IOReadBandwidthMax", "", NONE),
        ("ManagedOOMSwap", "auto", NONE),
        ("ManagedOOMMemoryPressureLimit", "2576980377", "60%"),
        ("ManagedOOMMemoryPressureLimit", "0", NONE),
    ],
)
def test_of_show(name: str, printed: str, text: str) -> None:
    assert of_show(BY_NAME[name], printed, NUMBERS) == text


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("CPUQuota", "150000 100000\n", "150%"),
        ("CPUQuota", "33330 100000\n", "33.33%"),
        ("CPUQuota", "max 100000\n", NONE),
        ("CPUQuota", "", NONE),
        ("MemoryMax", "max\n", NONE),
        ("MemoryMax", "524288000\n", "524288000"),
        ("TasksMax", "max\n", NONE),
        ("CPUWeight", "100\n", NONE),
        ("CPUWeight", "50\n", "50"),
        ("IOWeight", "default 50\n8:0 70\n", "50"),
        ("AllowedCPUs", "0-3,8\n", "0-3,8"),
        ("AllowedCPUs", "\n", NONE),
        ("IOReadBandwidthMax", "8:0 rbps=10000000 wbps=max riops=100 wiops=max\n", "8:0 10000000"),
        ("IOReadIOPSMax", "8:0 rbps=10000000 wbps=max riops=100 wiops=max\n", "8:0 100"),
        ("IOWriteIOPSMax", "8:0 rbps=10000000 wbps=max riops=100 wiops=max\n", NONE),
    ],
)
def test_of_kernel(name: str, content: str, text: str) -> None:
    assert of_kernel(BY_NAME[name], content) == text


@pytest.mark.parametrize(
    ("name", "value", "lines"),
    [
        ("CPUQuota", "4800%", ["CPUQuota=4800%"]),
        ("CPUQuota", NONE, ["CPUQuota="]),
        ("MemoryMax", str(96 * GIB), ["MemoryMax=96G"]),
        ("MemoryMax", str(1536 << 20), ["MemoryMax=1536M"]),
        ("MemoryMax", "4097", ["MemoryMax=4097"]),
        ("MemorySwapMax", "0", ["MemorySwapMax=0"]),
        ("MemoryMax", NONE, ["MemoryMax=infinity"]),
        ("CPUWeight", NONE, ["CPUWeight="]),
        # a list is emptied first, or the old entries stay
        (
            "IOReadBandwidthMax",
            "8:0 10000000",
            ["IOReadBandwidthMax=", "IOReadBandwidthMax=/dev/sda 10000000"],
        ),
        ("IOReadBandwidthMax", NONE, ["IOReadBandwidthMax="]),
        ("ManagedOOMSwap", NONE, ["ManagedOOMSwap=auto"]),
    ],
)
def test_written(name: str, value: str, lines: list[str]) -> None:
    assert written(BY_NAME[name], value, NODES) == lines


@pytest.mark.parametrize(
    ("name", "value", "limit", "above"),
    [
        ("MemoryMax", NONE, "5", True),
        ("MemoryMax", "5", "5", False),
        ("MemoryMax", "4", "5", False),
        ("CPUQuota", "150.5%", "150%", True),
        ("IOReadBandwidthMax", "8:0 5", "8:0 5", False),
        ("IOReadBandwidthMax", NONE, "8:0 5", True),
        ("IOReadBandwidthMax", "259:0 1", "8:0 5", True),
        ("TasksMax", "5", NONE, False),
    ],
)
def test_is_above(name: str, value: str, limit: str, above: bool) -> None:
    assert is_above(BY_NAME[name], value, limit) is above


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("MemoryMax", str(96 * GIB), "96G"),
        ("MemoryMax", None, "?"),
        ("MemoryMax", NONE, "no limit"),
        ("CPUWeight", NONE, "100"),
        ("IOReadBandwidthMax", "8:0 5", "/dev/sda 5"),
    ],
)
def test_shown(name: str, value: str | None, text: str) -> None:
    assert shown(BY_NAME[name], value, NODES) == text
