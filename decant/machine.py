"""The machine that a figure was measured on."""

import os
import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


def cpu_model(cpuinfo: Path = CPUINFO) -> str:
    """The processor by its name, else by its architecture."""
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(filter(None, names), "") or platform.processor() or platform.machine()


def machine() -> dict[str, str | int]:
    """Processor, number of its cores, operating system and Python; no names of hosts or people."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count() or 1,
        "platform": f"{platform.system().lower()} {platform.machine()}",
        "python": platform.python_version(),
    }
