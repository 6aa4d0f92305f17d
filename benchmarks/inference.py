"""Time tests and intervals of one fitted model, beside lme4 with lmerTest and pbkrtest where R has them.

    python benchmarks/inference.py            # two minutes
    python benchmarks/inference.py --write    # also write results/inference.md

Each sample starts from a fresh result of the same fit, so that nothing computed before is read again; the
programs are compiled. Engines take turns, A B A B; figures are medians. What they find is compared: limits of
the profile in units of their interval, degrees of freedom relatively.
"""

import argparse
import dataclasses
import resource
import statistics
import tempfile
from pathlib import Path

import numpy as np
from _peers import Peer, find_peers, timed
from _report import Table, machine, milliseconds

import jaxmixed as jm

RESULTS = Path(__file__).parent / "results" / "inference.md"
TASKS = {
    "satterthwaite": "Satterthwaite df of the coefficients",
    "kenward-roger": "Kenward-Roger df of the coefficients",
    "profile": "profile intervals of all parameters",
}
MODELS = {
    "sleepstudy": "Reaction ~ Days + (Days | Subject)",
    "Pastes": "strength ~ 1 + (1 | batch/cask)",
    "Penicillin": "diameter ~ 1 + (1 | plate) + (1 | sample)",
}
LARGE = "y ~ service + (1 | s) + (1 | d) + (1 | dept)"
BUDGET, ROUNDS = 2.0, 3


def own_task(fit: jm.LmerResult, task: str):
    """Return a function that does a task from a fresh result and gives what it found."""

    def run() -> np.ndarray:
        fresh = dataclasses.replace(fit)
        if task == "profile":
            limits = fresh.conf_int(method="profile", parm="all")
            random = len(limits) - len(fresh.params)
            return np.vstack([limits.iloc[-random:], limits.iloc[:-random]]).T.ravel()
        return fresh.tidy("fixed", ddf=task)["df"].to_numpy()

    return run


def compare(fit: jm.LmerResult, peer: Peer | None, task: str) -> tuple[float, float | None, float | None]:
    """Return our median time, R's, and the largest difference of what they find."""
    ours, theirs, reply = [], [], {}
    found = own_task(fit, task)()
    for _ in range(ROUNDS):
        ours += timed(own_task(fit, task), 1, BUDGET)[0]
        if peer is not None:
            reply = peer.ask(task, BUDGET)
            theirs += reply.get("seconds", [])
    if "values" not in reply:
        return statistics.median(ours), None, None
    other = np.array(reply["values"])
    unit = np.abs(found)
    if task == "profile":
        low, high = np.split(found, 2)
        unit = np.tile(high - low, 2)
    return statistics.median(ours), statistics.median(theirs), float(np.max(np.abs(found - other) / unit))


def small(peer: Peer | None) -> Table:
    rows = []
    for name, formula in MODELS.items():
        data = jm.datasets.load(name)
        fit = jm.lmer(formula, data)
        if peer is not None:
            with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
                data.to_csv(file, index=False)
                file.flush()
                factors = [c for c in data if data[c].dtype == "category" or data[c].dtype == object]
                peer.ask("load", file.name, formula, ",".join(factors))
        for task, title in TASKS.items():
            ours, theirs, difference = compare(fit, peer, task)
            ratio = "-" if theirs is None else f"{theirs / ours:.0f}"
            shown = "-" if difference is None else f"{difference:.0e}"
            rows.append((f"{name}: {title}", milliseconds(ours), milliseconds(theirs), ratio, shown))
    notes = ("lme4's limits are interpolated between points of a grid; ours are solved for.",)
    return Table("One fitted model (ms)", ("task", "jaxmixed", "R", "R / ours", "difference"), rows, notes)


def large() -> Table:
    fit = jm.lmer(LARGE, jm.datasets.load("InstEval"))
    rows = []
    for task in ("satterthwaite", "kenward-roger"):
        seconds, _ = timed(own_task(fit, task), 1, 5.0)
        rows.append((TASKS[task], f"{statistics.median(seconds):.2f}"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    notes = (
        f"Largest memory of the process, fit included: {peak:.2f} GiB. pbkrtest needs matrices of "
        f"{fit.nobs:,} x {fit.nobs:,} numbers, 40 GiB each, and does not finish.",
    )
    return Table(f"InstEval, {fit.nobs:,} rows, three crossed factors (s)", ("task", "jaxmixed"), rows, notes)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    peers = find_peers()
    r = next((peer for peer in peers if peer.name == "lme4"), None)
    about = machine([r.version] if r else [])
    tables = [small(r), large()]
    for peer in peers:
        peer.close()
    for table in tables:
        print(table.text(), end="\n\n")
    print(about)
    if options.write:
        text = "\n\n".join(["# Tests and intervals", about, *(table.markdown() for table in tables)])
        RESULTS.write_text(text + "\n")


if __name__ == "__main__":
    main()
