"""Replace the names of GPUs in a container's configuration, in every form core.gpu_access knows.

Users write them: what is no name of a GPU must go on being none, whatever it holds.
"""

from __future__ import annotations

import re
from posixpath import normpath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ds01ctl.core.model import ContainerConfig
    from ds01ctl.core.pseudonyms import Pseudonyms

_CDI_NAME = r"((?:[\w-]+\.)?nvidia\.com/(?:gpu|mig)=)(.+)"
_WORDS = frozenset({"", "all", "none", "void"})
# ds01.gpu.allocated may be a time
_INDEX = r"(?:minor:|gpu|mig)?\d{1,9}(?::\d{1,9})?|\d{4}-\d\d-\d\d[T ][\d:.]*Z?"
_UUID = r"(?:MIG-)?(?:GPU|MIG)-[0-9A-Za-z-]+(?:/\d{1,3}/\d{1,3})?"
_NODE = r"/|/dev|/dev/nvidia\d*|/dev/char/\d+:\d+|/dev/nvidia-caps/[\w-]*"
_RULE = r"\s*[abc]\s+[\d*]{1,7}:[\d*]{1,7}\s+[rwm]+\s*"


def without_gpu_names(config: ContainerConfig, names: Pseudonyms) -> ContainerConfig:
    """Replace what a configuration says of GPUs and devices."""
    visible = config.visible_devices
    return config._replace(
        device_requests=tuple(
            request._replace(device_ids=tuple(_name(id_, names) for id_ in request.device_ids))
            for request in config.device_requests
        ),
        devices=tuple(_device(device, names) for device in config.devices),
        device_cgroup_rules=tuple(
            rule if re.fullmatch(_RULE, rule) else names.word("rule", rule)
            for rule in config.device_cgroup_rules
        ),
        visible_devices=None if visible is None else gpu_names(visible, names),
    )


def gpu_names(text: str, names: Pseudonyms) -> str:
    """Replace the names in a list with commas."""
    return ",".join(_name(name, names) for name in text.split(","))


def _name(name: str, names: Pseudonyms) -> str:
    """Replace a UUID by its stand-in; indices and the like stay."""
    name = name.strip()
    if match := re.fullmatch(_CDI_NAME, name):
        return match[1] + _name(match[2], names)
    if name in _WORDS or re.fullmatch(_INDEX, name):
        return name
    return names.gpu(name) if re.fullmatch(_UUID, name) else names.word("value", name)


def _device(device: str, names: Pseudonyms) -> str:
    """Replace a path, but for the nodes of GPUs, which are written in many ways."""
    if re.fullmatch(_CDI_NAME, device):
        return _name(device, names)
    # POSIX lets a path keep two slashes at its beginning
    path = normpath("/" + device.lstrip("/"))
    return path if re.fullmatch(_NODE, path) else names.path(path)
