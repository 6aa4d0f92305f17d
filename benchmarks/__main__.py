"""Run the benchmarks: `python -m benchmarks --suite quick|full`; README.md says what is measured and how."""

import argparse
import itertools
import tempfile
import time
from pathlib import Path

from ._pages import write
from ._process import commands
from ._table import machine
from ._turns import Row, measured
from ._workloads import WORKLOADS, Workload

ROUNDS = {"quick": (2, 0.1, 60.0), "full": (5, 0.2, 100.0)}  # rounds, seconds a round, longest request


def main() -> None:
    options = parsed()
    wanted = None if options.peers == "auto" else [name for name in options.peers.split(",") if name]
    chosen = [w for w in WORKLOADS if options.suite == "full" or w.quick]
    chosen = [w for w in chosen if options.only is None or options.only in f"{w.name} {w.task}"]
    if not chosen:
        known = sorted({w.name for w in WORKLOADS})
        raise SystemExit(f"no workload is called {options.only!r}; known are:\n" + "\n".join(known))
    started, about = time.perf_counter(), machine()
    starts = commands(wanted, options.device)
    rows: list[Row] = []
    versions: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _, group in itertools.groupby(sorted(chosen, key=_by_model), key=_by_model):
            found, named = measured(group, starts, Path(folder), *ROUNDS[options.suite])
            rows += found
            versions |= named
    rows.sort(key=lambda row: WORKLOADS.index(row.workload))
    about += f" Took {(time.perf_counter() - started) / 60:.1f} minutes."
    write(options, rows, versions, about)


def _by_model(workload: Workload) -> str:
    return workload.model.name


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--suite", choices=tuple(ROUNDS), default="quick")
    parser.add_argument("--peers", default="auto", help="auto, or names of packages: lme4,glmm")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="where jaxmixed runs")
    parser.add_argument("--only", metavar="WORKLOAD", help="workloads whose name has this in it")
    return parser.parse_args()


if __name__ == "__main__":
    main()
