"""The machine that a result was measured on, and the versions."""

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import subprocess
from typing import Any

import jax

import jconvt

_PACKAGES = (
    *("jax", "jaxlib", "numpy", "tensorflow", "torch", "flax", "libtpu"),
    *("torchvision", "keras", "dm-haiku", "equinox"),
    *(f"jax-cuda{version}-plugin" for version in (12, 13)),
    *("nvidia-cudnn-cu12", "nvidia-cudnn-cu13", "nvidia-cublas-cu12", "nvidia-cublas"),  # of CUDA 13 without a suffix
)
_ROOT = pathlib.Path(__file__).parents[1]


def describe() -> dict[str, Any]:
    """Return the machine, the versions, the date and the commit, as a JSON file has them."""
    return {
        "jconvt": jconvt.__version__,
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": {
            "device": device(),
            "processor": processor(),
            "cores": cores(),
            "system": platform.platform(),
            **accelerator(),
        },
        "versions": {"python": platform.python_version()}
        | {name: version for name in _PACKAGES if (version := _version(name)) is not None},
    }


def accelerator() -> dict[str, Any]:
    """Return the number of devices, their memory in bytes, the driver and JAX's platform; nothing on a CPU."""
    devices = jax.devices()
    if devices[0].platform == "cpu":
        return {}
    found: dict[str, Any] = {"devices": len(devices), "platform": devices[0].client.platform_version}
    limit = (devices[0].memory_stats() or {}).get("bytes_limit")
    return found | ({} if limit is None else {"memory": limit}) | _nvidia()


def _nvidia() -> dict[str, str]:
    """Return the driver's version and the size of the memory, as the driver's tool tells them."""
    names = ("driver_version", "memory.total")
    command = ["nvidia-smi", f"--query-gpu={','.join(names)}", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(zip(names, map(str.strip, found.partition("\n")[0].split(",")), strict=False))


def device() -> str:
    """Return the name of JAX's device: the processor's, or the accelerator's."""
    first = jax.devices()[0]
    return processor() if first.platform == "cpu" else first.device_kind


def processor() -> str:
    """Return the processor's name."""
    try:
        names = re.findall(r"^model name\s*: (.+)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def slug(described: dict[str, Any]) -> str:
    """Return a file name for results of this machine and day."""
    machine = described["machine"]
    parts = [machine["device"]]
    if machine["device"] == machine["processor"]:
        parts.append(f"{machine['cores']} cores")
    return re.sub(r"[^a-z0-9]+", "-", " ".join(parts).lower()).strip("-") + f"-{described['date'][:10]}"


def heading(described: dict[str, Any], title: str = "") -> list[str]:
    """Return the first lines of a page of results: the machine, the versions and the commit."""
    machine = described["machine"]
    return [
        f"# {title}{machine['device']}, {described['date'][:10]}",
        "",
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}.",
        "  ".join(f"{name} {version}" for name, version in described["versions"].items()) + ".",
        f"jconvt {described['jconvt']}, commit {described['commit']}.",
        "",
    ]


def commit() -> str | None:
    """Return the commit of this checkout, marked if files differ from it; None outside a checkout."""
    try:
        command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
        found = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    print(json.dumps(describe()))
