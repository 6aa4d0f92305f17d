"""Workloads by every package in turns, A B A B, each package in a process of its own."""

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ._process import OWN, Worker
from ._truth import Verdict, judge, truth
from ._workloads import TESTS, Workload

Starts = dict[str, tuple[list[str], dict[str, str]]]  # commands and environments, by package
OWN_LIMIT = 900.0  # seconds that we may take
RIGHT = Verdict(True, "", "")


@dataclass(frozen=True)
class Effort:
    """Rounds, seconds a round, seconds beyond which a package is timed once, and those it may take."""

    rounds: int
    budget: float
    slow: float
    limit: float


@dataclass(frozen=True)
class Row:
    """What one package did of one workload; times are seconds of one fit, ratios theirs over ours.

    `first` is the first call in its process, which compiles where something is compiled, and `peak` the
    largest resident memory meanwhile, MiB. `trouble` says why there is no time.
    """

    workload: Workload
    package: str
    fits: int = 1
    median: float = float("nan")
    first: float = float("nan")
    ratio: float = 1.0
    low: float = 1.0
    high: float = 1.0
    peak: float | None = None
    verdict: Verdict = RIGHT
    trouble: str = ""
    floor: dict[str, float] = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        return not self.trouble and self.verdict.right


def introductions(starts: Starts) -> dict[str, dict[str, Any]]:
    """Return the version and the tasks of every package, in its own words."""
    workers = [Worker(name, *start) for name, start in starts.items()]
    found = {worker.name: worker.ask("about") for worker in workers}
    for worker in workers:
        worker.close()
    return found


def measured(
    workloads: Sequence[Workload], starts: Starts, tasks: dict[str, set[str]], folder: Path, effort: Effort
) -> list[Row]:
    """Return rows of workloads of one model, by the packages that have a task among them."""
    model = workloads[0].model
    try:
        path, factors = model.write(folder)
    except OSError as error:  # gpa without a network
        return [Row(workload, OWN, trouble=str(error)) for workload in workloads]
    wanted = {workload.task for workload in workloads}
    workers = [Worker(name, *start) for name, start in starts.items() if tasks[name] & wanted]
    loaded = {w.name: w.ask("load", path, model.formula, factors, limit=effort.limit) for w in workers}
    able = [w for w in workers if "NotImplementedError" not in loaded[w.name].get("error", "")]
    rows = []
    for workload in workloads:
        print(f"{workload.part}: {workload.name}", file=sys.stderr, flush=True)
        asked = [w for w in able if workload.task in tasks[w.name] and w.name not in workload.absent]
        asked = [w for w in asked if w.process.poll() is None]
        rows += in_turns(workload, asked, effort)
    for worker in workers:
        worker.close()
    return rows


def without_wrong_methods(rows: list[Row]) -> list[Row]:
    """Count no test or interval of a package whose method is wrong for one of the models."""
    wrong = {(r.package, r.workload.task): r for r in rows if not r.trouble and not r.verdict.right}
    judged = []
    for row in rows:
        elsewhere = wrong.get((row.package, row.workload.task))
        if row.counts and row.workload.part == TESTS and elsewhere is not None:
            remark = f"right here, wrong for {elsewhere.workload.model.name}"
            row = replace(row, verdict=replace(row.verdict, right=False, wrong=remark))
        judged.append(row)
    return judged


def in_turns(workload: Workload, workers: list[Worker], effort: Effort) -> list[Row]:
    """Time one workload, after a first round that only its own column shows."""
    right = truth(workload.model, workload.task)
    samples: dict[str, list[list[float]]] = {w.name: [] for w in workers}
    first: dict[str, float] = {}
    slow: dict[str, bool] = {}
    replies: dict[str, dict[str, Any]] = {}
    peaks: dict[str, float | None] = {}
    for turn in range(effort.rounds + 1):
        for worker in workers:
            name, fits = worker.name, workload.fits(worker.name, worker.name == OWN)
            limit = OWN_LIMIT if name == OWN else effort.limit
            if "error" in replies.get(name, {}) or slow.get(name):
                continue
            if turn == 0:
                worker.ask("prepare", workload.task, limit=limit)
                worker.forget_peak()
            found = worker.ask("time", workload.task, effort.budget if turn else 0, fits, limit=limit)
            replies[name] = found
            if "error" in found:
                continue
            each = [seconds / workload.done(fits) for seconds in found["seconds"]]
            first.setdefault(name, each[0])
            # Our first call compiles, and never counts.
            slow[name] = sum(found["seconds"]) > effort.slow and (turn > 0 or name != OWN)
            if turn or slow[name]:
                samples[name].append(each)
            peaks[name] = worker.peak()
    rows = []
    for worker in workers:
        name, fits = worker.name, workload.fits(worker.name, worker.name == OWN)
        if "error" in replies[name]:
            if "NotImplementedError" not in replies[name]["error"]:
                rows.append(Row(workload, name, fits, trouble=replies[name]["error"]))
            continue
        ratios = _ratios(samples[name], samples.get(OWN, []))
        rows.append(
            Row(
                workload,
                name,
                workload.done(fits),
                statistics.median(x for turn in samples[name] for x in turn),
                first[name],
                statistics.median(ratios),
                min(ratios),
                max(ratios),
                peaks[name],
                judge(replies[name], right, fits),
            )
        )
    if workload.floor and rows and not rows[0].trouble:
        floor = workers[0].ask("floor", workload.task, workload.size, limit=OWN_LIMIT)
        rows[0] = replace(rows[0], floor=floor)
    rows += [Row(workload, name, trouble=why) for name, why in workload.absent.items()]
    return rows


def _ratios(theirs: list[list[float]], ours: list[list[float]]) -> list[float]:
    """Return their median over ours in each round; what was timed once stands beside each of our rounds."""
    if not ours:
        return [float("nan")]
    pairs = zip(theirs * len(ours) if len(theirs) == 1 else theirs, ours, strict=False)
    return [statistics.median(a) / statistics.median(b) for a, b in pairs]
