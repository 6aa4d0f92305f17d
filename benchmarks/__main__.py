"""Run the benchmarks: `python -m benchmarks --suite quick|full`; README.md says what is measured and how."""

import argparse
import itertools
import sys
import tempfile
import time
from pathlib import Path

from ._accuracy import accuracy
from ._cold import cold_starts
from ._pages import RESULTS, page, write
from ._process import OWN, commands
from ._scaling import draw, scaling, table
from ._table import Table, machine
from ._turns import Effort, Row, introductions, measured, without_wrong_methods
from ._workloads import WORKLOADS, Workload

SUITES = {"quick": Effort(3, 0.05, 0.5, 30.0), "full": Effort(5, 0.2, 3.0, 75.0)}


def main() -> None:
    options = parsed()
    wanted = None if options.peers == "auto" else [name for name in options.peers.split(",") if name]
    chosen = [w for w in WORKLOADS if options.suite == "full" or w.quick]
    chosen = [w for w in chosen if options.only is None or options.only in f"{w.name} ({w.task})"]
    if not chosen:
        known = "\n".join(sorted(f"{w.name} ({w.task})" for w in WORKLOADS))
        raise SystemExit(
            f"no workload of the {options.suite} suite has {options.only!r} in it; all are:\n{known}"
        )
    started, about = time.perf_counter(), machine()
    starts = commands(wanted, options.device)
    rows: list[Row] = []
    abouts = introductions(starts)
    if "error" in abouts[OWN]:
        raise SystemExit(
            f"jaxmixed does not start with --device {options.device} ({abouts[OWN]['error'].strip(': ')}); "
            "JAX must find such a device: `python -c 'import jax; print(jax.devices())'`."
        )
    abouts = {name: about for name, about in abouts.items() if "error" not in about}
    starts = {name: starts[name] for name in abouts}
    versions = {name: about["version"] for name, about in abouts.items()}
    tasks = {name: {task.replace("_", "-") for task in about["tasks"]} for name, about in abouts.items()}
    effort = SUITES[options.suite]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for _, group in itertools.groupby(sorted(chosen, key=_by_model), key=_by_model):
            rows += measured(list(group), starts, tasks, folder, effort)
        rows = without_wrong_methods(rows)
        rows.sort(key=lambda row: WORKLOADS.index(row.workload))
        more = [] if options.only else others(options, starts, folder, effort.limit)
    about += f" Took {(time.perf_counter() - started) / 60:.1f} minutes."
    write(options, rows, more, versions, about)


def others(options: argparse.Namespace, starts: dict, folder: Path, limit: float) -> list[Table]:
    """Measure what is not one task by every package: cold starts, scaling, accuracy."""
    print("Cold start, scaling, accuracy", file=sys.stderr, flush=True)
    cold = cold_starts(starts, folder, 1 if options.suite == "quick" else 3)
    if options.suite == "quick":
        return [cold, accuracy(options.suite)]
    curves = scaling(starts[OWN], folder, limit)
    draw(curves, RESULTS / f"{page(options)}.png")
    return [cold, table(curves), accuracy(options.suite)]


def _by_model(workload: Workload) -> str:
    return workload.model.name


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--suite", choices=tuple(SUITES), default="quick")
    parser.add_argument("--peers", default="auto", help="auto, or names of packages: lme4,glmm")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="where jaxmixed runs")
    parser.add_argument("--only", metavar="WORKLOAD", help="workloads whose name has this in it")
    return parser.parse_args()


if __name__ == "__main__":
    main()
