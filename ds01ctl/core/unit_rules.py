"""What systemd accepts in a unit, and an admin regrets: rules on the text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ds01ctl.core.problem import Problem
from ds01ctl.core.unit_text import NEEDING, directives, is_true, names, values
from ds01ctl.jobs import span_s

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from ds01ctl.core.unit_text import Directive, UnitFile

OLDEST = 249
"""The systemd of Ubuntu 22.04. Debian 12 has 252, Ubuntu 24.04 has 255."""

NEWER = {
    "ConditionCPUPressure": 250, "ConditionIOPressure": 250, "ConditionMemoryPressure": 250,
    "ExecSearchPath": 250, "ExitType": 250, "LoadCredentialEncrypted": 250,
    "RestrictFileSystems": 250, "RestrictNetworkInterfaces": 250, "SetCredentialEncrypted": 250,
    "StartupAllowedCPUs": 250, "StartupAllowedMemoryNodes": 250, "TTYColumns": 250, "TTYRows": 250,
    "ExtensionDirectories": 251,
    "ConditionCredential": 252,
    "LogFilterPatterns": 253, "MemoryZSwapMax": 253, "OpenFile": 253, "ReloadSignal": 253,
    "DelegateSubgroup": 254, "FileDescriptorStorePreserve": 254, "ImportCredential": 254,
    "MemoryKSM": 254, "MemoryPressureThresholdSec": 254, "MemoryPressureWatch": 254,
    "RestartMaxDelaySec": 254, "RestartMode": 254, "RestartSteps": 254, "RootEphemeral": 254,
    "RootImagePolicy": 254,
    "CoredumpReceive": 255, "NFTSet": 255, "SetLoginEnvironment": 255,
    "SurviveFinalKillSignal": 255,
    "MemoryZSwapWriteback": 256, "WantsMountsFor": 256,
    "BindLogSockets": 257, "DeferReactivation": 257, "ExtraFileDescriptors": 257,
    "ManagedOOMMemoryPressureDurationSec": 257, "PrivatePIDs": 257,
    "DelegateNamespaces": 258, "PrivateBPF": 258, "RandomizedOffsetSec": 258,
}  # fmt: skip
"""Directives that OLDEST ignores, with the version that brought them. Source: systemd's NEWS."""

_CREDENTIAL = re.compile(r"[\w-]*(password|passwd|secret|token|api_?key)[\w-]*=", re.IGNORECASE)
_SUCCESS = ("4", "5")
"""What ds01ctl exits with for findings, and for a lock that is held."""


def problems(
    files: Sequence[UnitFile], ours: Collection[str], there: Collection[str]
) -> list[Problem]:
    """Check every unit file.

    ours: the names of the services that run ds01ctl; there: those of all units of the host.
    """
    known = {*there, *(file.name for file in files)}
    timed = {file.name.removesuffix(".timer") for file in files if file.name.endswith(".timer")}
    found: list[Problem] = []
    for file in files:
        lines = directives(file.text)
        found += _needs(file, lines, known)
        found += _reloads(file, lines)
        if file.name.endswith(".timer"):
            found += _timer(file, lines, known)
        if file.name.endswith(".service"):
            found += _service(file, lines, is_timed=file.name.removesuffix(".service") in timed)
            found += _secrets(file, lines)
        if file.name in ours:
            found += _job(file, lines, is_timed=file.name.removesuffix(".service") in timed)
        if file.name in ours or file.name.removesuffix(".timer") + ".service" in ours:
            found += _too_new(file, lines)
    return found


def _needs(file: UnitFile, lines: Iterable[Directive], known: Collection[str]) -> Iterator[Problem]:
    for line, name in names(lines, *NEEDING):
        if name == "docker.service":
            what = f"{line.key}=docker.service stops and fails it with the engine"
            fix = "use After=docker.service, and Wants= where it is to be started"
            yield Problem("error", "requires-docker", file.at(line.line), what, fix)
        elif "%" not in name and not _is_known(name, known):
            what = f"{line.key}={name}: there is no such unit, so it would never start"
            fix = "correct the name, or use Wants="
            yield Problem("warning", "missing-unit", file.at(line.line), what, fix)
    for line, name in names(lines, "OnFailure"):
        if not _is_known(name, known):
            what = f"OnFailure={name}: there is no such unit, so nobody is told"
            yield Problem("error", "missing-unit", file.at(line.line), what, "correct the name")


def _is_known(name: str, known: Collection[str]) -> bool:
    stem, at, rest = name.partition("@")
    template = f"{stem}@.{rest.rpartition('.')[2]}" if at else name
    return name in known or template in known or name.endswith((".slice", ".device", ".mount"))


def _reloads(file: UnitFile, lines: Iterable[Directive]) -> Iterator[Problem]:
    for line in lines:
        if line.key.startswith("Exec") and re.search(r"\bdaemon-re(load|exec)\b", line.value):
            what = f"{line.key}= reloads systemd, which can take the GPUs from running containers"
            fix = "stop and start the units that changed instead"
            yield Problem("error", "daemon-reload", file.at(line.line), what, fix)


def _timer(file: UnitFile, lines: Sequence[Directive], known: Collection[str]) -> Iterator[Problem]:
    named = values(lines, "Unit")
    unit = named[-1].value if named else f"{file.name.removesuffix('.timer')}.service"
    if not _is_known(unit, known):
        what = f"there is no {unit}, which it is to start"
        yield Problem("error", "missing-unit", file.where, what, "add the unit, or correct Unit=")
    for line, name in names(lines, *NEEDING):
        if name.endswith(".service"):
            what = f"{line.key}={name} runs the service whenever the timer starts, and ties them"
            fix = "leave the line out: a timer starts the service of its name"
            yield Problem("error", "timer-requires", file.at(line.line), what, fix)


def _service(file: UnitFile, lines: Sequence[Directive], *, is_timed: bool) -> Iterator[Problem]:
    if is_timed and is_true(lines, "RemainAfterExit"):
        line = values(lines, "RemainAfterExit")[-1].line
        what = "RemainAfterExit=yes keeps it active after its first run: its timer fires once"
        yield Problem("error", "runs-once", file.at(line), what, "leave the line out")


def _secrets(file: UnitFile, lines: Iterable[Directive]) -> Iterator[Problem]:
    for line in values(lines, "Environment"):
        if found := _CREDENTIAL.search(line.value):
            what = f"{found[0]} in Environment=: every user may read it (systemctl show)"
            fix = "use LoadCredential= with a file that root alone may read"
            yield Problem("warning", "open-secret", file.at(line.line), what, fix)


def _job(file: UnitFile, lines: Sequence[Directive], *, is_timed: bool) -> Iterator[Problem]:
    if is_timed and not values(lines, "OnFailure"):
        what, fix = "no OnFailure=: it would fail unheard", "add OnFailure=ds01-failure@%N.service"
        yield Problem("error", "silent-failure", file.where, what, fix)
    timeouts = values(lines, "TimeoutStartSec")
    if not timeouts or not _seconds(timeouts[-1].value):
        what = "no TimeoutStartSec=: a run that hangs would hold its place for ever"
        yield Problem("error", "no-timeout", file.where, what, "add TimeoutStartSec=")
    codes = [word for _, word in names(lines, "SuccessExitStatus")]
    if is_timed and not set(_SUCCESS) <= set(codes):
        what = "SuccessExitStatus= lacks 4 or 5: findings, or a lock held, would count as failure"
        yield Problem("error", "exit-status", file.where, what, "add SuccessExitStatus=4 5")


def _seconds(text: str) -> int | None:
    return int(text) if text.isdecimal() else span_s(text)


def _too_new(file: UnitFile, lines: Iterable[Directive]) -> Iterator[Problem]:
    for line in lines:
        if line.key in NEWER:
            what = f"{line.key}= is of systemd {NEWER[line.key]}; {OLDEST} would ignore it"
            fix = f"use what systemd {OLDEST} (Ubuntu 22.04) knows"
            yield Problem("error", "too-new", file.at(line.line), what, fix)
