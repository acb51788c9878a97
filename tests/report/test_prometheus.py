"""What node_exporter is given, checked with a parser of the exposition format, and promtool."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from datetime import datetime, timezone

import pytest

from ds01ctl.core.model import Gap
from ds01ctl.core.plan import Finding
from ds01ctl.report.prometheus import Family, Sample, detect_metrics, job_metrics, render, write

NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
KINDS = ("unmanaged-container", "host-gpu-process")
TAKEN = [
    "ds01_gpu_allocated",
    "ds01_gpu_equivalents",
    "ds01_containers_total",
    "ds01_user_gpus_allocated",
    "ds01_user_gpu_equivalents",
    "ds01_user_containers_count",
    "ds01_events_24h_total",
    "ds01_lifecycle_events_total",
    "ds01_ssh_sessions_active",
    "ds01_ssh_sessions_total",
    "ds01_state_disk_bytes",
    "ds01_unmanaged_gpu_container",
    "ds01_unmanaged_gpu_count",
    "ds01_unmanaged_gpu_running",
    "ds01_mig_slot_info",
    "ds01_mig_mapping_status",
    "ds01_gpu_slot_info",
    "ds01_user_group_info",
    "ds01_group_members_total",
    "ds01_user_cpu_usage_seconds_total",
    "ds01_user_memory_current_bytes",
    "ds01_exporter_info",
]
"""Names of the platform's own exporter."""

LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)')
SAMPLE = re.compile(r"([a-z_0-9]+)(?:\{(.*)\})? (\S+)")


def parse(text):
    """Read the format strictly: {(name, labels): value}; HELP and TYPE first, and once."""
    series = {}
    heads = []
    current = None
    for line in text.split("\n")[:-1]:
        if line.startswith("# "):
            _, kind, name, *_ = line.split(" ")
            heads.append((kind, name))
            current = name
            continue
        name, labels, value = SAMPLE.fullmatch(line).groups()
        assert name == current
        pairs = LABEL.findall(labels or "")
        assert "".join(LABEL.sub("", labels or "")) == ""
        unescaped = {
            k: re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), v) for k, v in pairs
        }
        key = (name, tuple(unescaped.items()))
        assert key not in series
        series[key] = float(value)
    assert text.endswith("\n")
    assert len(heads) == len(set(heads))
    assert [kind for kind, _ in heads] == ["HELP", "TYPE"] * (len(heads) // 2)
    return series


def finding(kind, user, *, new=False, uid=1001, about="container"):
    subject = {"type": about, "owner": {"login": user, "uid": uid}}
    return Finding(kind, "warning", user, subject, (), (kind, str(user)), new=new)


def counted(families, name):
    series = parse(render(families))
    return {tuple(v for _, v in labels): n for (of, labels), n in series.items() if of == name}


def example(findings=(), health=("ok",), gaps=(), last_success=NOON):
    return (
        *detect_metrics(findings, health, gaps, KINDS),
        *job_metrics("detect", NOON, 0.25, last_success),
    )


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        ([], {("host-gpu-process", ""): 0, ("unmanaged-container", ""): 0}),
        (
            [finding(KINDS[0], "alice"), finding(KINDS[0], "alice"), finding(KINDS[1], None)],
            {
                ("host-gpu-process", ""): 1,
                ("host-gpu-process", "alice"): 0,
                ("unmanaged-container", ""): 0,
                ("unmanaged-container", "alice"): 2,
            },
        ),
        (
            [finding(KINDS[0], "young", new=True)],
            {("host-gpu-process", ""): 0, ("unmanaged-container", ""): 0},
        ),
    ],
)
def test_findings(findings, expected):
    assert counted(example(findings), "ds01_detect_findings") == expected


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        (["ok", "ok", "lost"], {"ok": 2, "lost": 1, "reset-required": 0, "error": 0, "unknown": 0}),
        ([], {"ok": 0, "lost": 0, "reset-required": 0, "error": 0, "unknown": 0}),
        (None, {}),
    ],
)
def test_gpus(health, expected):
    found = counted(example(health=health), "ds01_detect_gpus")
    assert found == {(state,): n for state, n in expected.items()}


def test_gaps_have_a_series_each_whether_or_not_there_are_any():
    gaps = [Gap("docker", "failed", "x"), Gap("docker", "failed", "y"), Gap("other", "denied", "z")]
    found = counted(example(gaps=gaps), "ds01_detect_gaps")
    assert found["failed", "docker"] == 2
    assert found["denied", "other"] == 1
    assert found["failed", "nvml"] == found["absent", "docker"] == 0
    assert len(found) == 8 * 3
    # written before it can be known whether that worked
    assert ("failed", "metrics") not in found


def test_last_success_is_what_it_is_told():
    name = "ds01_job_last_success_timestamp_seconds"
    assert counted(example(), name) == {("detect",): NOON.timestamp()}
    assert counted(example(last_success=None), name) == {}
    run = counted(example(), "ds01_job_last_run_timestamp_seconds")
    assert run == {("detect",): NOON.timestamp()}
    assert counted(example(), "ds01_job_duration_seconds") == {("detect",): 0.25}


HOSTILE = ('a"b\\c\nd', "x" * 5000, "[red]\x1b[31m", "tail\\", "\udcff", "ü{},=")


def test_hostile_labels_stay_in_their_place():
    text = render(example([finding(KINDS[0], user) for user in HOSTILE]))
    users = {labels[1][1] for name, labels in parse(text) if name == "ds01_detect_findings"}
    assert {'a"b\\c\nd', "tail\\", "?", "ü{},=", ""} <= users
    text.encode()


@pytest.mark.parametrize(
    ("one", "user"),
    [
        (finding(KINDS[0], "alice"), "alice"),
        (finding(KINDS[0], "alice", uid=0), "alice"),
        (finding(KINDS[0], None, uid=None), ""),
        (finding(KINDS[0], "", uid=None), ""),
        (finding(KINDS[0], "4242", uid=None), "4242"),
        (finding(KINDS[0], "12345678901", uid=None), "unknown"),
        (finding(KINDS[0], "\u0664\u0662", uid=None), "unknown"),
        (finding(KINDS[0], "42\n", uid=None), "unknown"),
        (finding(KINDS[0], "bob", uid=None, about="user"), "bob"),
        (Finding("gpu-unhealthy", "critical", None, {"type": "gpu"}, (), ("k",)), ""),
        (Finding("over-gpu-quota", "warning", "bob", {"type": "user"}, (), ("k",)), "bob"),
        *((finding(KINDS[0], user, uid=None), "unknown") for user in HOSTILE),
    ],
)
def test_only_users_that_exist_are_named(one, user):
    found = counted(example([one]), "ds01_detect_findings")
    assert {key: count for key, count in found.items() if count} == {(one.kind, user): 1}
    assert {of for _, of in found} == {"", user}


def test_labels_make_no_series():
    made_up = [finding(KINDS[0], f"secret{n}", uid=None) for n in range(1000)]
    text = render(example(made_up))
    assert "secret" not in text
    assert text.count("ds01_detect_findings{") == 2 * len(KINDS)


def test_same_readings_same_text():
    findings = [finding(KINDS[0], user) for user in "abcdef"]
    assert render(example(findings)) == render(reversed(example(findings[::-1])))


def test_labels_that_families_share_are_each_ones_own():
    """Written once, they must not reach the series of labels that were made later."""
    shared = {"user": 'al"ice', "filesystem": "/home"}
    families = [
        Family(name, "gauge", "x", (Sample(shared, 1), Sample({"user": user}, True)))
        for name, user in (("a", "bob"), ("b", "carl"))
    ]
    lines = [line for line in render(iter(families)).splitlines() if not line.startswith("#")]
    assert lines == [
        *('a{filesystem="/home",user="al\\"ice"} 1', 'a{user="bob"} 1'),
        *('b{filesystem="/home",user="al\\"ice"} 1', 'b{user="carl"} 1'),
    ]


def test_values_and_help():
    samples = (Sample({}, float("nan")), Sample({"x": "1"}, float("inf")))
    family = Family("m", "counter", "one\ntwo \\", samples)
    expected = '# HELP m one\\ntwo \\\\\n# TYPE m counter\nm NaN\nm{x="1"} +Inf\n'
    assert render([family]) == expected


def test_names_are_not_those_of_the_platform_exporter():
    assert not {family.name for family in example()} & set(TAKEN)


def test_file_is_replaced_and_readable_by_the_exporter(tmp_path):
    path = tmp_path / "ds01_detect.prom"
    path.write_text("old")
    path.chmod(0o600)
    assert write(path, example()) == ()
    assert path.read_text() == render(example())
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_no_exporter_is_a_gap_of_its_own_kind(tmp_path):
    (gap,) = write(tmp_path / "none/ds01_detect.prom", example())
    assert (gap.source, gap.kind) == ("metrics", "absent")


def test_what_cannot_be_written_is_a_gap(tmp_path):
    path = tmp_path / "ds01_detect.prom"
    path.mkdir()
    (gap,) = write(path, example())
    assert (gap.source, gap.kind) == ("metrics", "failed")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(
    shutil.which("promtool") is None and "CI" not in os.environ, reason="promtool is not installed"
)
def test_promtool_finds_nothing_to_say():
    text = render(example([finding(KINDS[0], user) for user in HOSTILE]))
    argv = ["promtool", "check", "metrics"]
    done = subprocess.run(argv, input=text.encode(), capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
