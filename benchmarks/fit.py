"""Time one fit: warm, part by part; large and crossed; and cold, in a fresh process.

    python benchmarks/fit.py            # all of it, a few minutes
    python benchmarks/fit.py --quick    # small data sets and one cold start
    python benchmarks/fit.py --write    # also write results/fit.md

Other packages are timed beside ours where they can be found (see README.md), in turns, A B A B, so that a
busy moment hits all alike. Figures are medians. The answer of every timed run is compared with the optimum
that lme4 found, and the time of a wrong answer stands in brackets.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from _cold import cold_starts
from _peers import COUNT, Peer, find_peers, other_response, timed
from _report import Table, machine, milliseconds, seconds

import jaxmixed as jm
from jaxmixed import core
from jaxmixed.frame._data import model_frame
from jaxmixed.frame._estimate import estimate

RESULTS = Path(__file__).parent / "results" / "fit.md"
# Largest accepted excess of a criterion over lme4's, on the deviance scale, and relative error of beta.
CRITERION, BETA = 1e-3, 1e-4
LOOP = 100  # fits in one compiled loop
SLOW = 5.0  # seconds; what takes longer is timed once
TASKS = {
    "criterion": "criterion, once",
    "optimiser": "optimiser alone, one call",
    "compiled": "optimiser alone, in a compiled loop",
    "refit": "refit(y), estimates read",
    "call": "lmer(), estimates read",
}


@dataclass(frozen=True)
class Case:
    """A model, lme4's answers by REML for the response and for `other_response`, and what we want (ms)."""

    data: str
    formula: str
    criterion: float
    beta: tuple[float, ...]
    other_criterion: float = np.nan
    goals: dict[str, str] = field(default_factory=dict)


SMALL = (
    Case(
        "sleepstudy",
        "Reaction ~ Days + (Days | Subject)",
        1743.62827196,
        (251.405104848, 10.4672859596),
        1743.167489269,
        {"optimiser": "0.1", "compiled": "0.1", "refit": "0.3", "call": "5"},
    ),
    Case(
        "gpa",
        "gpa ~ occasion + (1 | student)",
        408.892880771,
        (2.59921428571, 0.106314285714),
        432.010906025,
        {"optimiser": "0.03", "compiled": "0.03", "refit": "0.3", "call": "5"},
    ),
)
LARGE = Case(
    "InstEval",
    "y ~ service + (1|s) + (1|d) + (1|dept)",
    237733.834128,
    (3.28258775645, -0.0926417028072),
)


class Own:
    """jaxmixed, asked as the others are."""

    name = "jaxmixed"

    def load(self, data: pd.DataFrame, formula: str) -> None:
        self.data, self.formula = data, formula
        self.fit = jm.lmer(formula, data)
        self.other = other_response(self.fit.frame.design.y)
        with jax.enable_x64(True):
            self.stats, self.theta = jax.device_put((self.fit.stats, self.fit.theta))
        self.criterion = jax.jit(core.criterion)

    def tasks(self) -> dict[str, Callable[[], Any]]:
        return {
            "criterion": lambda: self.criterion(self.theta, self.stats).block_until_ready(),
            "optimiser": lambda: estimate(self.stats, True),
            "compiled": lambda: self.fits(self.stats).block_until_ready(),
            "refit": lambda: self.answer(self.fit.refit(self.other)),
            "call": lambda: self.answer(jm.lmer(self.formula, self.data)),
        }

    def ask(self, task: str, budget: float) -> dict[str, Any]:
        with jax.enable_x64(True):
            times, result = timed(self.tasks()[task], COUNT.get(task, 1), budget)
        if task == "compiled":
            times = [time / LOOP for time in times]
        if not isinstance(result, dict):
            result = {"criterion": float(getattr(result, "criterion", result))}
        return {"seconds": times, **result}

    @staticmethod
    @jax.jit
    def fits(stats: core.SuffStats) -> jax.Array:
        """Fit a hundred times over, as a simulation does: what a call costs beside the work is left out."""

        def again(_: int, criterion: jax.Array) -> jax.Array:
            # Each round depends on the one before, or the compiler would do the work once.
            changed = eqx.tree_at(lambda s: s.C, stats, stats.C + 1e-18 * criterion)
            return core.fit(changed).criterion

        return jax.lax.fori_loop(0, LOOP, again, jnp.zeros((), stats.C.dtype))

    @staticmethod
    def answer(fit: jm.LmerResult) -> dict[str, Any]:
        fit.bse.to_numpy()
        return {"criterion": fit.criterion, "beta": fit.params.tolist()}


def load(case: Case, own: Own, peers: Iterable[Peer], folder: Path) -> list[Own | Peer]:
    """Give everyone the data; return those who can fit the model."""
    frame = jm.datasets.load(case.data)
    own.load(frame, case.formula)
    path = folder / f"{case.data}.csv"
    frame.to_csv(path, index=False)
    factors = {name for name, dtype in frame.dtypes.items() if isinstance(dtype, pd.CategoricalDtype)}
    groups = ",".join(sorted(factors | set(own.fit.ngroups)))
    able = [peer for peer in peers if "error" not in peer.ask("load", path, case.formula, groups)]
    return [own, *able]


@dataclass
class Timing:
    """Samples of one task by one package, and how far its worst answer is from lme4's optimum."""

    seconds: list[float]
    excess: float = 0.0
    beta: float = 0.0

    def show(self, unit: Callable[[float], str]) -> str:
        """Return the median; in brackets if the answer is wrong, for then it does not count."""
        right = abs(self.excess) <= CRITERION and self.beta <= BETA
        text = unit(statistics.median(self.seconds))
        return text if right else f"({text})"


def in_turns(
    engines: list[Own | Peer], case: Case, task: str, rounds: int, budget: float
) -> dict[str, Timing]:
    """Time one task by every package that can do it, A B A B, after a run that does not count."""
    timings: dict[str, Timing] = {}
    for turn in range(-1, rounds):
        for engine in engines:
            timing = timings.setdefault(engine.name, Timing([]))
            if timing.seconds and max(timing.seconds) > SLOW:
                continue
            reply = engine.ask(task, 0 if turn < 0 else budget)
            if "error" in reply:
                continue
            right = case.other_criterion if task == "refit" else case.criterion
            timing.excess = max(timing.excess, reply["criterion"] - right, key=abs)
            if task == "call":
                timing.beta = max(timing.beta, float(np.max(np.abs(np.divide(reply["beta"], case.beta) - 1))))
            # What takes minutes has no warming up worth another run.
            if turn >= 0 or (max(reply["seconds"]) > SLOW and engine.name != Own.name):
                timing.seconds += reply["seconds"]
    return {name: timing for name, timing in timings.items() if timing.seconds}


def warm_small(own: Own, peers: list[Peer], folder: Path, rounds: int, budget: float) -> list[Table]:
    """Time the parts of a fit of small data sets."""
    names = (own.name, *(peer.name for peer in peers))
    rows, accuracy, notes = [], [], []
    for case in SMALL:
        try:
            engines = load(case, own, peers, folder)
        except jm.datasets.DatasetError:
            notes.append(f"{case.data}: skipped, the data cannot be fetched here.")
            continue
        for task, words in TASKS.items():
            timings = in_turns(engines, case, task, rounds, budget)
            shown = (timings[n].show(milliseconds) if n in timings else "-" for n in names)
            rows.append((f"{case.data}: {words}", case.goals.get(task, ""), *shown))
            accuracy.append(_accuracy(f"{case.data}: {words}", names, timings))
    if any("(" in cell for row in rows for cell in row[2:]):
        notes.append("In brackets: the answer was wrong, see the next table.")
    return [
        Table("Small data sets, warm, milliseconds", ("", "goal", *names), rows, tuple(notes)),
        Table("The same runs: criterion found, less that of the optimum", ("", *names), accuracy),
    ]


def _accuracy(label: str, names: Iterable[str], timings: dict[str, Timing]) -> tuple[str, ...]:
    return (label, *(f"{timings[n].excess:+.1e}" if n in timings else "-" for n in names))


def warm_large(own: Own, peers: list[Peer], folder: Path, rounds: int) -> list[Table]:
    """Time a crossed model with 73,421 rows and 4,114 levels."""
    names = (own.name, *(peer.name for peer in peers))
    engines = load(LARGE, own, peers, folder)
    timings = in_turns(engines, LARGE, "call", rounds, 0)
    parts = [_large_parts(own) for _ in range(2)]
    reading, optimiser = (statistics.median(part) for part in zip(*parts, strict=True))
    none = ("-",) * len(peers)
    shown = (timings[n].show(seconds) if n in timings else "-" for n in names)
    rows = [
        ("frame to statistics", "0.5", seconds(reading), *none),
        ("optimiser", "", seconds(optimiser), *none),
        (
            "lmer(), estimates read",
            "0.6",
            *shown,
        ),
    ]
    title = "InstEval by REML, y ~ service + (1|s) + (1|d) + (1|dept), warm, seconds"
    accuracy = [_accuracy("InstEval", names, timings)]
    return [
        Table(title, ("", "goal", *names), rows, (f"What takes more than {SLOW:g} s is timed once.",)),
        Table("InstEval: criterion less lme4's reference (goal 1e-6)", ("", *names), accuracy),
    ]


def _large_parts(own: Own) -> tuple[float, float]:
    def read() -> core.SuffStats:
        frame = model_frame(own.formula, own.data, None, None, None)
        conditioned = core.condition(frame.design)
        return core.assemble(conditioned, core.plan(conditioned), frame.design.y, compress=True)

    (reading,), stats = timed(read, 1, 0)
    (optimising,), _ = timed(lambda: estimate(stats, True), 1, 0)
    return reading, optimising


class Compilations:
    """Counts the programs that JAX compiles."""

    EVENT = "/jax/core/compile/backend_compile_duration"

    def __init__(self) -> None:
        self.count = 0
        jax.monitoring.register_event_duration_secs_listener(self._heard)

    def _heard(self, event: str, duration: float, **_: Any) -> None:
        self.count += event == self.EVENT

    def during(self, work: Callable[[], Any]) -> int:
        before = self.count
        work()
        return self.count - before


def recompilation(compilations: Compilations) -> Table:
    """Count the programs compiled for five data sets of one shape: the first, and the other four."""
    data, random = jm.datasets.load("sleepstudy"), np.random.default_rng(1)
    n = len(data)

    def response() -> pd.DataFrame:
        return data.assign(Reaction=data["Reaction"] + random.normal(0, 10, n))

    def covariate() -> pd.DataFrame:
        return data.assign(Days=data["Days"] + random.normal(0, 0.1, n))

    def without_ten_rows() -> pd.DataFrame:
        return data.drop(index=random.choice(n, 10, replace=False)).reset_index(drop=True)

    def fit(make: Callable[[], pd.DataFrame]) -> Callable[[], Any]:
        return lambda: jm.lmer("Reaction ~ Days + (Days | Subject)", make()).summary()

    cases = {
        "another response": response,
        "other covariates": covariate,
        "ten other rows left out": without_ten_rows,
    }
    rows = [
        (
            name,
            "0",
            str(compilations.during(fit(make))),
            str(sum(compilations.during(fit(make)) for _ in range(4))),
        )
        for name, make in cases.items()
    ]
    title = "Programs compiled for five data sets of one shape (sleepstudy fitted before)"
    return Table(title, ("", "goal (later)", "first", "four later"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small data sets and one cold start")
    parser.add_argument(
        "--write", action="store_true", help=f"also write {RESULTS.parent.name}/{RESULTS.name}"
    )
    options = parser.parse_args()
    compilations, own, peers = Compilations(), Own(), find_peers()
    header = machine([peer.version for peer in peers])
    print(f"{header}\n", flush=True)
    tables: list[Table] = []

    def add(*new: Table) -> None:
        tables.extend(new)
        print(*(table.text() + "\n" for table in new), sep="\n", flush=True)

    try:
        with tempfile.TemporaryDirectory() as folder:
            rounds, budget = (1, 0.02) if options.quick else (4, 0.2)
            add(*warm_small(own, peers, Path(folder), rounds, budget))
            add(recompilation(compilations))
            programs = {} if options.quick else {peer.name: peer.command[0] for peer in peers}
            add(cold_starts(Path(folder), programs, 1 if options.quick else 3))
            if not options.quick:
                add(*warm_large(own, peers, Path(folder), 3))
    finally:
        for peer in peers:
            peer.close()
    if options.write:
        RESULTS.parent.mkdir(exist_ok=True)
        command = " ".join(["python benchmarks/fit.py", *sys.argv[1:]])
        pages = "\n\n".join(table.markdown() for table in tables)
        RESULTS.write_text(f"# Fits\n\nWritten by `{command}`. {header}\n\n{pages}\n")


if __name__ == "__main__":
    main()
