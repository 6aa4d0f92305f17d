"""The page and the CSV file that a run of the suite writes."""

import argparse
import csv
import itertools
from pathlib import Path

from ._table import Table, number
from ._turns import Row

RESULTS = Path(__file__).parent / "results"
UNITS = {"us": 1e6, "ms": 1e3, "s": 1.0}
HEADER = ("", "package", "time", "ours x", "from .. to", "first", "MiB", "difference", "remark")


def write(options: argparse.Namespace, rows: list[Row], versions: dict[str, str], about: str) -> None:
    """Print the tables, and write them unless only a part was run."""
    packages = f"Packages: {', '.join(versions.values())}."
    tables = [
        timings(part, list(group)) for part, group in itertools.groupby(rows, lambda r: r.workload.part)
    ]
    print(*(table.text() for table in tables), about, packages, sep="\n\n")
    if options.only is None:
        name = options.suite if options.device == "cpu" else f"{options.suite}_{options.device}"
        pages = "\n\n".join(["# Benchmarks", about, packages, *(table.markdown() for table in tables)])
        (RESULTS / f"{name}.md").write_text(pages + "\n")
        write_csv(RESULTS / f"{name}.csv", rows, versions)


def timings(part: str, rows: list[Row]) -> Table:
    lines = []
    for workload, group in itertools.groupby(rows, lambda row: row.workload):
        for place, row in enumerate(group):
            lines.append((f"{workload.words}, {workload.model.name}" if place == 0 else "", *cells(row)))
    return Table(part, HEADER, lines)


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
