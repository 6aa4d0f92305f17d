"""The page and the CSV file that a run of the suite writes."""

import argparse
import csv
import itertools
from pathlib import Path

from ._summaries import aims, floors, losses
from ._table import Table, number
from ._turns import Row

RESULTS = Path(__file__).parent / "results"
UNITS = {"us": 1e6, "ms": 1e3, "s": 1.0}
HEADER = ("", "package", "time", "times ours", "from .. to", "first", "MiB", "difference", "remark")
SETTING = (
    "On a CPU, programs of jaxmixed run at once (`jax_cpu_enable_async_dispatch` off), as its documentation "
    "advises for one fit after another."
)
NOTES = (
    "Time: median of warm calls, in brackets if the answer is wrong, which the remark shows. Times ours: the "
    "package's time over ours in the same round, median and range over rounds. First: its first call, which "
    "compiles where something is compiled. MiB: peak of its process meanwhile. Difference: the worst of each "
    "quantity from its reference, in the units that benchmarks/README.md gives.",
)


def write(
    options: argparse.Namespace, rows: list[Row], more: list[Table], versions: dict[str, str], about: str
) -> None:
    """Print the tables, and write them unless only a part was run."""
    packages = f"Packages: {', '.join(versions.values())}. {SETTING}"
    parts = itertools.groupby(rows, lambda row: row.workload.part)
    tables = [timings(part, list(group)) for part, group in parts]
    tables = [t for t in (aims(rows), losses(rows), *tables, floors(rows), *more) if t.rows]
    print(*(table.text() for table in tables), about, packages, sep="\n\n")
    if options.only is None:
        image = f"![Time and memory against size]({page(options)}.png)"
        shown = [image] if options.suite == "full" else []
        text = "\n\n".join(
            [f"# Benchmarks\n\n{about}\n\n{packages}", *(t.markdown() for t in tables), *shown]
        )
        (RESULTS / f"{page(options)}.md").write_text(text + "\n")
        write_csv(RESULTS / f"{page(options)}.csv", rows, versions)


def page(options: argparse.Namespace) -> str:
    """Return the name of the files that a run writes."""
    return options.suite if options.device == "cpu" else f"{options.suite}_{options.device}"


def timings(part: str, rows: list[Row]) -> Table:
    lines = []
    for workload, group in itertools.groupby(rows, lambda row: row.workload):
        for place, row in enumerate(group):
            lines.append((workload.name if place == 0 else "", *cells(row)))
    return Table(part, HEADER, lines, NOTES, words=(0, 1, 7, 8))


def cells(row: Row) -> tuple[str, ...]:
    if row.trouble:
        return (row.package, "-", "-", "-", "-", "-", "-", row.trouble)
    unit = row.workload.unit
    time = f"{number(row.median * UNITS[unit])} {unit}"
    spread = f"{number(row.low)} .. {number(row.high)}"
    return (
        row.package,
        time if row.counts else f"({time})",
        number(row.ratio),
        spread,
        f"{number(row.first * UNITS[unit])}",
        "-" if row.peak is None else f"{row.peak:.0f}",
        row.verdict.difference,
        row.verdict.wrong,
    )


def write_csv(path: Path, rows: list[Row], versions: dict[str, str]) -> None:
    header = (
        "part,workload,package,version,fits,seconds,first,ratio,low,high,peak_mib,right,difference,remark"
    )
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(header.split(","))
        for row in rows:
            w, v = row.workload, row.verdict
            times = (f"{x:.4g}" for x in (row.median, row.first, row.ratio, row.low, row.high))
            peak = "" if row.peak is None else f"{row.peak:.0f}"
            remark = row.trouble or v.wrong
            fixed = (w.part, w.name, row.package, versions.get(row.package, ""), row.fits or 1)
            out.writerow([*fixed, *times, peak, row.counts, v.difference, remark])
