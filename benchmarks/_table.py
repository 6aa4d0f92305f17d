"""Tables that print as text and as Markdown, and a line about the machine."""

import math
import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True)
class Table:
    """A title, a header, rows of text, and remarks below."""

    title: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    notes: tuple[str, ...] = ()
    words: tuple[int, ...] = (0,)  # columns of words, which are aligned to the left

    def text(self) -> str:
        lines = [self.header, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.header))]
        body = ["  ".join(self._align(i, cell, widths[i]) for i, cell in enumerate(line)) for line in lines]
        return "\n".join([self.title, "", *(f"  {line.rstrip()}" for line in body), "", *self.notes])

    def markdown(self) -> str:
        rule = tuple("---" if i in self.words else "---:" for i in range(len(self.header)))
        lines = [[cell.replace("|", "\\|") for cell in line] for line in (self.header, rule, *self.rows)]
        body = [f"| {' | '.join(line)} |" for line in lines]
        notes = [f"\n{note}" for note in self.notes]
        return "\n".join([f"## {self.title}", "", *body, *notes])

    def _align(self, column: int, cell: str, width: int) -> str:
        return cell.ljust(width) if column in self.words else cell.rjust(width)


def number(value: float) -> str:
    """Format a number with three significant digits."""
    if math.isnan(value):
        return "-"
    decimals = next(d for d, least in enumerate((100, 10, 1, 0.1, 0.01, 0)) if abs(value) >= least)
    return f"{value:,.{decimals}f}"


def machine() -> str:
    """Describe what the timings depend on: processors, load, versions."""
    names = ("jax", "jaxlib", "numpy", "pandas", "formulaic")
    load = f", load average {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return (
        f"{len(_processors())} cores ({_model()}, {platform.system()}){load}; "
        f"Python {platform.python_version()}, {', '.join(f'{n} {version(n)}' for n in names)}."
    )


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


def _processors() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
