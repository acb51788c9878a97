"""Which GPUs a container may use, by every way Docker has of giving them.

Sources: moby daemon/nvidia_linux.go (device requests), the NVIDIA container toolkit's environment
variables and CDI names, and the kernel's device cgroup rules.
"""

from __future__ import annotations

import re
from posixpath import normpath
from typing import TYPE_CHECKING

from ds01ctl.core.model import SLICES_OF_A_GPU
from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ds01ctl.core.model import ContainerConfig, DeviceRequest, Gpu, MigDevice

_ALL = "all"
_PRIVILEGED = "privileged"
_NONE = frozenset({"", "void", "none"})
# also management.nvidia.com/gpu=… and runtime.nvidia.com/gpu=…
_CDI = r"(?:[\w-]+\.)?nvidia\.com/(?:gpu|mig)=(.+)"
# CDI names by the strategy type-index: gpu0, mig0:1
_TYPED_INDEX = r"(?:gpu|mig)(\d+(?::\d+)?)"
_NODE = r"/dev/nvidia(\d{1,7})|/dev/char/195:(\d{1,7})"
# 195:254 is nvidia-modeset, 195:255 nvidiactl: control nodes, no GPU
_FIRST_CONTROL_MINOR = 254
_RULE = r"\s*([abc])\s+(\d{1,7}|\*):(\d{1,7}|\*)\s+([rwm]+)\s*"
_NVIDIA_MAJOR = "195"
_PROFILE = r"(\d+)g\."
_LONGEST_QUOTE = 80
# text from users: Python refuses to read a number of thousands of digits, and memory is finite
_LONGEST_NUMBER = 7
_MOST_GPUS = 256


class GpuAccess(NamedTuple):
    """What a container may use."""

    forms: tuple[str, ...]
    """Of device-request, cdi, runtime, device, device-rule, privileged; empty: no access."""
    gpu_uuids: frozenset[str] | None
    """GPUs, and MIG devices in the place of a GPU that is split; None: not known which."""
    evidence: tuple[str, ...]
    known_uuids: frozenset[str] = frozenset()
    """Of gpu_uuids those that could be told, also where that is None: it may use at least these."""
    explicit_uuids: frozenset[str] | None = frozenset()
    """Like gpu_uuids, without what only ``privileged`` gives: the GPUs that it asked for."""


class _Way(NamedTuple):
    """One way to GPUs: tokens are ``all``, indices, ``GPU:MIG`` pairs, UUIDs, ``minor:N``."""

    form: str
    tokens: tuple[str, ...]
    evidence: str


class _Reached(NamedTuple):
    """What ways lead to."""

    known: frozenset[str]
    unknown: tuple[str, ...]
    """Tokens that no GPU here goes by."""


def gpu_access(config: ContainerConfig, gpus: Sequence[Gpu]) -> GpuAccess:
    """Tell which GPUs a container may use, and by what; ``default-runtime: nvidia`` gives none."""
    ways = tuple(_ways(config))
    every = _reached(ways, gpus)
    explicit = _reached([way for way in ways if way.form != _PRIVILEGED], gpus)
    lost = tuple(f"{_quote(token)} is no GPU that can be seen" for token in every.unknown if gpus)
    return GpuAccess(
        forms=tuple(dict.fromkeys(way.form for way in ways)),
        gpu_uuids=None if every.unknown else every.known,
        evidence=tuple(way.evidence for way in ways) + lost,
        known_uuids=every.known,
        explicit_uuids=None if explicit.unknown else explicit.known,
    )


def _reached(ways: Iterable[_Way], gpus: Sequence[Gpu]) -> _Reached:
    tokens = dict.fromkeys(token for way in ways for token in way.tokens)
    if _ALL in tokens:
        # whatever else is named, known or not, is among them
        every = _named(gpus)
        return _Reached(every, () if every else (_ALL,))
    found = {token: _resolve(token, gpus) for token in tokens}
    known = frozenset().union(*found.values())
    return _Reached(known, tuple(token for token, uuids in found.items() if not uuids))


def units(access: GpuAccess, gpus: Sequence[Gpu]) -> float | None:
    """Count GPU-equivalents: a GPU is 1, a MIG device its slices' share; None where unknown."""
    if access.gpu_uuids is None:
        return None
    return _sum(_share(uuid, gpus, access.gpu_uuids) for uuid in sorted(access.gpu_uuids))


def _share(uuid: str, gpus: Sequence[Gpu], together_with: frozenset[str]) -> float | None:
    for gpu in gpus:
        for device in gpu.mig_devices:
            if device.uuid == uuid:
                return _mig_share(device, gpu)
        if gpu.uuid == uuid and gpu.mig_devices:
            # beside one of its own MIG devices, the GPU itself adds nothing
            beside = any(device.uuid in together_with for device in gpu.mig_devices)
            return 0.0 if beside else _sum(_mig_share(device, gpu) for device in gpu.mig_devices)
    return 1.0


def _sum(shares: Iterable[float | None]) -> float | None:
    total = 0.0
    for share in shares:
        if share is None:
            return None
        total += share
    return total


def _mig_share(device: MigDevice, gpu: Gpu) -> float | None:
    slices = gpu.mig_slices or SLICES_OF_A_GPU
    if device.compute_slices is not None:
        return device.compute_slices / slices
    match = re.match(_PROFILE, device.profile or "")
    return int(match[1]) / slices if match else None


# --- the ways ---------------------------------------------------------------------------------


def _ways(config: ContainerConfig) -> Iterator[_Way]:
    requested = [way for request in config.device_requests for way in _by_request(request)]
    yield from requested
    # Docker replaces the variable by what was requested
    if not any(way.form == "device-request" for way in requested):
        yield from _by_runtime(config)
    for device in config.devices:
        yield from _by_device(device)
    for rule in config.device_cgroup_rules:
        yield from _by_rule(rule)
    if config.privileged:
        yield _Way(_PRIVILEGED, (_ALL,), "privileged: every GPU, whatever else was asked for")


def _by_request(request: DeviceRequest) -> Iterator[_Way]:
    if request.driver == "cdi":
        names = [name for name in request.device_ids if re.fullmatch(_CDI, name)]
        if names:
            tokens = tuple(_cdi_token(name) for name in names)
            yield _Way("cdi", tokens, f"CDI device {_quote(', '.join(names))}")
    elif _is_nvidia(request) and (tokens := _requested(request)):
        yield _Way("device-request", tokens, f"--gpus {_quote(','.join(tokens))}")


def _is_nvidia(request: DeviceRequest) -> bool:
    wanted = {"gpu", "nvidia"} & set(request.capabilities)
    return request.driver == "nvidia" or (request.driver == "" and bool(wanted))


def _requested(request: DeviceRequest) -> tuple[str, ...]:
    """Read ids before the count, and a count of N as the first N indices, as Docker does."""
    if request.device_ids:
        return _tokens(request.device_ids)
    if request.count < 0:
        return (_ALL,)
    return tuple(str(index) for index in range(min(request.count, _MOST_GPUS)))


def _by_runtime(config: ContainerConfig) -> Iterator[_Way]:
    is_nvidia = config.runtime == "nvidia" or config.runtime.startswith("nvidia-")
    value = config.visible_devices
    if not is_nvidia or value is None or not (tokens := _tokens(value.split(","))):
        return
    origin = " inherited from the image" if config.visible_devices_from_image else ""
    variable = f"NVIDIA_VISIBLE_DEVICES={_quote(value)}{origin}"
    yield _Way("runtime", tokens, f"runtime {config.runtime} with {variable}")


def _by_device(device: str) -> Iterator[_Way]:
    if re.fullmatch(_CDI, device):
        yield _Way("cdi", (_cdi_token(device),), f"CDI device {_quote(device)}")
        return
    # POSIX lets a path keep two slashes at its beginning
    path = normpath("/" + device.lstrip("/"))
    if path in {"/", "/dev"}:
        yield _Way("device", (_ALL,), f"device folder {path}")
    elif match := re.fullmatch(_NODE, path):
        minor = match[1] or match[2]
        if int(minor) < _FIRST_CONTROL_MINOR:
            yield _Way("device", (f"minor:{minor}",), f"device {path}")
    elif path.startswith("/dev/nvidia-caps/"):
        # which MIG device a capability node opens is not in its name
        yield _Way("device", (path,), f"MIG capability {_quote(path)}")


def _by_rule(rule: str) -> Iterator[_Way]:
    match = re.fullmatch(_RULE, rule)
    # m alone allows to make the node, not to open it
    if match is None or not {"r", "w"} & set(match[4]):
        return
    kind, major, minor = match[1], match[2], match[3]
    if kind == "b" or major not in {_NVIDIA_MAJOR, "*"}:
        return
    if kind == "a" or minor == "*":
        yield _Way("device-rule", (_ALL,), f"device cgroup rule {_quote(rule)}")
    elif int(minor) < _FIRST_CONTROL_MINOR:
        yield _Way("device-rule", (f"minor:{minor}",), f"device cgroup rule {_quote(rule)}")


# --- names of GPUs ----------------------------------------------------------------------------


def _tokens(names: Iterable[str]) -> tuple[str, ...]:
    stripped = (name.strip() for name in names)
    return tuple(_cdi_token(name) for name in stripped if name not in _NONE)


def _cdi_token(name: str) -> str:
    match = re.fullmatch(_CDI, name)
    bare = match[1] if match else name
    typed = re.fullmatch(_TYPED_INDEX, bare)
    return typed[1] if typed else bare


def _whole(gpu: Gpu) -> frozenset[str]:
    """Name a GPU; one that is split can be used through its MIG devices only."""
    return frozenset(device.uuid for device in gpu.mig_devices) or frozenset({gpu.uuid})


def _resolve(token: str, gpus: Sequence[Gpu]) -> frozenset[str]:
    """Resolve one name of a GPU or MIG device; empty when nothing here is called so."""
    kind, _, number = token.partition(":")
    if kind == "minor" and _is_number(number):
        return _named(gpu for gpu in gpus if gpu.minor == int(number))
    if _is_number(token):
        return _named(gpu for gpu in gpus if gpu.index == int(token))
    if _is_number(kind) and _is_number(number):
        return _mig_at(int(kind), int(number), gpus)
    if token.startswith("MIG-"):
        return _mig_called(token, gpus)
    # an abbreviated UUID is good as long as it fits one GPU
    fitting = [gpu for gpu in gpus if token.startswith("GPU-") and gpu.uuid.startswith(token)]
    return _named(fitting) if len(fitting) == 1 else frozenset()


def _is_number(token: str) -> bool:
    return token.isdecimal() and len(token) <= _LONGEST_NUMBER


def _named(found: Iterable[Gpu]) -> frozenset[str]:
    return frozenset().union(*(_whole(gpu) for gpu in found))


def _mig_at(index: int, position: int, gpus: Sequence[Gpu]) -> frozenset[str]:
    for gpu in gpus:
        if gpu.index == index and position < len(gpu.mig_devices):
            return frozenset({gpu.mig_devices[position].uuid})
    return frozenset()


def _mig_called(token: str, gpus: Sequence[Gpu]) -> frozenset[str]:
    """Find a MIG device by UUID, or by ``MIG-<GPU UUID>/<GI>/<CI>`` as before driver 470."""
    for gpu in gpus:
        for device in gpu.mig_devices:
            old = f"MIG-{gpu.uuid}/{device.gpu_instance}/{device.compute_instance}"
            if token in {device.uuid, old}:
                return frozenset({device.uuid})
    return frozenset()


def _quote(text: str) -> str:
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…"
