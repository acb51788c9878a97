"""Programs of the system that use a GPU and are nobody's work."""

from __future__ import annotations

SYSTEM_EXECUTABLES = (
    "/usr/bin/nvidia-persistenced",
    "/usr/bin/nvidia-smi",
    "/usr/bin/nvidia-cuda-mps-control",
    "/usr/bin/nvidia-cuda-mps-server",
    "/usr/bin/nvidia-fabricmanager",
    "/usr/bin/nv-fabricmanager",
    "/usr/bin/nv-hostengine",
    "/usr/bin/dcgm-exporter",
    "/usr/bin/dcgmi",
    "/usr/lib/xorg/Xorg",
    "/usr/libexec/Xorg",
    "/usr/bin/Xorg",
)
"""Absolute paths, as /proc/PID/exe shows them on Ubuntu, Debian and Fedora."""
