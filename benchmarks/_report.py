"""Tables that print as text and as Markdown, and a line about the machine."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version


@dataclass(frozen=True)
class Table:
    """A title, a header, rows of text, and remarks below."""

    title: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        lines = [self.header, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.header))]
        body = ["  ".join(_align(i, cell, widths[i]) for i, cell in enumerate(line)) for line in lines]
        return "\n".join([self.title, "", *(f"  {line.rstrip()}" for line in body), "", *self.notes])

    def markdown(self) -> str:
        rule = tuple("---" if i == 0 else "---:" for i in range(len(self.header)))
        body = [f"| {' | '.join(line)} |" for line in (self.header, rule, *self.rows)]
        notes = [f"\n{note}" for note in self.notes]
        return "\n".join([f"## {self.title}", "", *body, *notes])


def _align(column: int, cell: str, width: int) -> str:
    return cell.ljust(width) if column == 0 else cell.rjust(width)


def milliseconds(seconds: float | None) -> str:
    """Format a time with three significant digits; "-" where there is none."""
    return "-" if seconds is None else _three_digits(1e3 * seconds)


def seconds(value: float | None) -> str:
    """Format a time in seconds with three significant digits; "-" where there is none."""
    return "-" if value is None else _three_digits(value)


def _three_digits(value: float) -> str:
    decimals = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{decimals}f}"


def machine(peers: list[str]) -> str:
    """Describe what the timings depend on: processor kind and count, load, versions."""
    names = ("jaxmixed", "jax", "jaxlib", "numpy", "pandas", "formulaic")
    load = f", load average {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return (
        f"{len(_processors())} cores ({platform.machine()}, {platform.system()}){load}; "
        f"Python {platform.python_version()}, {', '.join(f'{n} {version(n)}' for n in names)}"
        + "".join(f", {peer}" for peer in peers)
        + "."
    )


def _processors() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
