"""Time replicates and responses fitted many at a time, beside other packages and the floor of the arithmetic.

    python benchmarks/batch.py [--fits 10000] [--write]

Replicates are `fit.bootstrap(n)`: drawn, fitted, their estimates read. Other packages refit responses that
they simulated themselves, one after the other; engines take turns, figures are warm medians. The floor counts
the products of matrices in the evaluations made, with their derivatives, and the statistics they read, at the
rates of a matrix product and of a copy on this machine. On a GPU, if JAX finds one, the same script writes a
table of its own, for a million replicates.
"""

import argparse
import functools
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pandas as pd
from _peers import Peer, find_peers
from _report import Table, machine, seconds

import jaxmixed as jm
from jaxmixed import core
from jaxmixed.core._fit import value_gradient_hessian
from jaxmixed.frame import _batches, _recipes, _replicates

RESULTS = Path(__file__).parent / "results"
REPEATS, ROUNDS, BUDGET = 5, 3, 3.0
TURNS = 25  # of a few hundredths of a second
GOALS = {"sleepstudy, slope": 1000, "students, intercept": 4000}  # times lme4's refit
SIZES = (10**3, 10**4, 10**5, 10**6, 10**7)  # rows
RESPONSES, RESPONSE_GOAL = 20_000, 300
HEADLINE = 10**6  # replicates on a GPU


def students(n: int = 200) -> pd.DataFrame:
    """Simulate students seen on six occasions."""
    rng = np.random.default_rng(0)
    student, occasion = np.repeat(np.arange(n), 6), np.tile(np.arange(6.0), n)
    gpa = 2.6 + 0.1 * occasion + 0.25 * rng.normal(size=n)[student] + 0.24 * rng.normal(size=6 * n)
    return pd.DataFrame({"gpa": gpa, "occasion": occasion, "student": student})


MODELS = {
    "sleepstudy, slope": ("Reaction ~ Days + (Days | Subject)", lambda: jm.datasets.load("sleepstudy")),
    "students, intercept": ("gpa ~ occasion + (1 | student)", students),
}


def median(task: Callable[[], object], repeats: int = REPEATS) -> float:
    task()
    return statistics.median(once(task) for _ in range(repeats))


def once(task: Callable[[], object]) -> float:
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def load(peers: list[Peer], data: pd.DataFrame, formula: str) -> None:
    factors = [part.split(")")[0].strip() for part in formula.split("|")[1:]]
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        data.to_csv(file, index=False)
        file.flush()
        for peer in peers:
            peer.ask("load", file.name, formula, ",".join(factors))


def turns(peers: list[Peer], own: Callable[[], object], tasks: tuple[str, ...]) -> dict[str, float]:
    """Return median seconds of our task, and of each task that a peer can do, taken in turns."""
    own()
    taken: dict[str, list[float]] = {"jaxmixed": []}
    for _ in range(ROUNDS):
        taken["jaxmixed"] += [once(own) for _ in range(REPEATS)]
        for peer in peers:
            for task in tasks:
                reply = peer.ask(task, BUDGET)
                taken.setdefault(f"{peer.name} {task}", []).extend(reply.get("seconds", []))
    return {name: statistics.median(found) for name, found in taken.items() if found}


def replicates(peers: list[Peer], fits: int) -> tuple[Table, Table]:
    """Return a table beside other packages, and one of where the time goes beside the floor."""
    beside, within = [], []
    for name, (formula, read) in MODELS.items():
        data = read()
        fit = jm.lmer(formula, data)
        load(peers, data, formula)
        own = functools.partial(fit.bootstrap, fits, key=1, progress=False)
        found = turns(peers, own, ("simulated", "bootMer"))
        ours, refit = found["jaxmixed"] / fits, found.get("lme4 simulated")
        others = (found.get(key) for key in ("lme4 simulated", "lme4 bootMer", "statsmodels simulated"))
        ratio = "-" if refit is None else f"{refit / ours:,.0f}"
        beside.append((name, *map(microseconds, (ours, *others)), ratio, f"{GOALS[name]:,}"))
        floor, steps = floor_of(fit, fits)
        parts = [part / fits for part in stages(fit, fits)]
        numbers = (f"{steps:.2f}", microseconds(floor), f"{parts[1] / floor:.0f}")
        within.append((name, *map(microseconds, parts), *numbers))
    columns = ("model", "ours", "lme4 refit", "bootMer", "statsmodels", "refit / ours", "goal")
    title = f"{fits:,} parametric replicates, microseconds each"
    stage = ("model", "draw", "fit", "read", "evaluations", "floor of the fit", "fit / floor")
    return Table(title, columns, beside), Table("Where the time goes, microseconds each", stage, within)


def stages(fit: jm.LmerResult, fits: int) -> tuple[float, float, float]:
    """Return the seconds of drawing, fitting and reading replicates."""
    spent = {}
    with jax.enable_x64(True):
        stats, axes, names = drawn(fit, fits)
        spent["draw"] = median(lambda: drawn(fit, fits))
        spent["fit"] = median(lambda: core.fit_batch(stats, axes, theta=fit.theta))
        spent["both"] = median(lambda: _batches.fit_all(stats, names, True, fit.theta))
    return spent["draw"], spent["fit"], spent["both"] - spent["fit"]


def drawn(fit: jm.LmerResult, fits: int):
    recipe, key = _replicates._recipe(fit, "parametric"), jax.random.key(1)
    stats = _recipes.drawn(recipe, key, 0, fits)
    return stats, _batches.axes_of(stats, recipe.names), recipe.names


def floor_of(fit: jm.LmerResult, fits: int) -> tuple[float, float]:
    """Return the seconds of a fit at the machine's rates, and how many evaluations it makes on average."""
    with jax.enable_x64(True):
        stats, axes, _ = drawn(fit, fits)
        steps = float(core.fit_batch(stats, axes, theta=fit.theta).steps.mean())
        traced = jax.make_jaxpr(lambda t, s: value_gradient_hessian(t, s, True))(fit.theta, fit.stats)
    numbers = core.numbers_in((fit.stats.structure, fit.stats.C))
    flop_rate, byte_rate = rates()
    return steps * (2 * _products(traced.jaxpr) / flop_rate + 8 * numbers / byte_rate), steps


def _products(jaxpr) -> int:
    """Count the multiplications of matrix products."""
    total = 0
    for equation in jaxpr.eqns:
        inner = [value for value in equation.params.values() if hasattr(value, "jaxpr")]
        total += sum(_products(value.jaxpr) for value in inner)
        if equation.primitive.name == "dot_general":
            axes = equation.params["dimension_numbers"][0][0]
            length = math.prod(equation.invars[0].aval.shape[axis] for axis in axes)
            total += length * equation.outvars[0].aval.size
    return total


def rates() -> tuple[float, float]:
    """Return flops and bytes a second: a matrix product, and a copy beyond the caches."""
    square, long = np.ones((1000, 1000)), np.ones(2**24)
    target = np.empty_like(long)
    return 2e9 / median(lambda: square @ square), 16 * len(long) / median(lambda: np.copyto(target, long))


def rows_of_data(fits: int) -> Table:
    """Time replicates of ever more students, in turns: the cost must not grow."""
    own = []
    for size in SIZES:
        fit = jm.lmer("gpa ~ occasion + (1 | student)", students(round(size / 6)))
        own.append((fit.nobs, functools.partial(fit.bootstrap, fits, key=1, progress=False)))
        own[-1][1]()
    taken = [[once(task) / fits for _, task in own] for _ in range(TURNS)]
    each = [statistics.median(column) for column in zip(*taken, strict=True)]
    rows = [(f"{nobs:,}", microseconds(value)) for (nobs, _), value in zip(own, each, strict=True)]
    note = f"Slowest over fastest: {max(each) / min(each) - 1:.0%} more (goal: 20%)."
    title = f"{fits:,} replicates of more and more rows, microseconds each"
    return Table(title, ("rows", "all"), rows, (note,))


def responses(peers: list[Peer]) -> Table:
    """Time very many responses of one design of 1,000 rows in 100 groups."""
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"x": rng.normal(size=1000), "g": np.repeat(np.arange(100), 10)})
    Y = rng.normal(size=(1000, RESPONSES)) + 0.5 * rng.normal(size=(100, RESPONSES))[data["g"]]
    rows = []
    for formula in ("~ x + (1 | g)", "~ x + (x | g)"):
        load(peers, data.assign(y=Y[:, 0]), f"y {formula}")
        own = functools.partial(jm.fit_many, formula, data, Y, progress=False)
        found = turns(peers, own, ("refit",))
        ours, refit = found["jaxmixed"] / RESPONSES, found.get("lme4 refit")
        ratio = "-" if refit is None else f"{refit / ours:,.0f}"
        rows.append((formula, microseconds(ours), microseconds(refit), ratio, str(RESPONSE_GOAL)))
    header = ("model", "ours, with Satterthwaite tests", "lme4 refit", "refit / ours", "goal")
    return Table(f"{RESPONSES:,} responses on 1,000 rows in 100 groups, microseconds each", header, rows)


def compilation() -> Table:
    """Time the first bootstrap of a shape in CPU seconds, and count programs compiled by later ones."""
    rows = []
    for name, (formula, read) in MODELS.items():
        data = read()
        fit = jm.lmer(formula, data)
        start = time.process_time()
        fit.bootstrap(1000, key=1, progress=False)
        first = time.process_time() - start
        response = formula.split("~")[0].strip()
        backwards = data.assign(**{response: data[response].to_numpy()[::-1]})
        other = jm.lmer(formula, backwards)
        with counted() as programs:
            other.bootstrap(3000, key=2, progress=False)
        rows.append((name, seconds(first), "6", str(len(programs))))
    header = ("model", "first bootstrap, s of CPU", "goal", "programs compiled by the next")
    return Table("Compilation", header, rows)


class counted:
    """Count the programs that JAX compiles."""

    def __enter__(self) -> list[str]:
        self.found: list[str] = []
        jax.monitoring.register_event_duration_secs_listener(self._heard)
        return self.found

    def _heard(self, event: str, duration: float, **details: object) -> None:
        if event.endswith("backend_compile_duration"):
            self.found.append(event)

    def __exit__(self, *exception: object) -> None:
        jax.monitoring.clear_event_listeners()


def headline() -> Table:
    rows = []
    for name, (formula, read) in MODELS.items():
        fit = jm.lmer(formula, read())
        taken = median(lambda fit=fit: fit.bootstrap(HEADLINE, key=1, progress=False), 3)
        rows.append((name, seconds(taken), microseconds(taken / HEADLINE)))
    return Table(f"{HEADLINE:,} replicates", ("model", "seconds", "microseconds each"), rows)


def microseconds(value: float | None) -> str:
    return "-" if value is None else f"{1e6 * value:,.{0 if value > 1e-4 else 2}f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fits", type=int, default=10_000)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    device = jax.devices()[0]
    if device.platform == "cpu":
        peers = [peer for peer in find_peers() if peer.name in ("lme4", "statsmodels")]
        about = machine([peer.version for peer in peers])
        first = compilation()
        tables = [*replicates(peers, options.fits), rows_of_data(options.fits), responses(peers), first]
        for peer in peers:
            peer.close()
    else:
        peers, about = [], f"{device.device_kind}. " + machine([])
        tables = [compilation(), headline(), rows_of_data(options.fits), responses(peers)]
    print(*(table.text() for table in tables), about, sep="\n\n")
    if options.write:
        name = "batch.md" if device.platform == "cpu" else f"batch_{device.platform}.md"
        text = "\n\n".join(["# Fits many at a time", about, *(table.markdown() for table in tables)])
        (RESULTS / name).write_text(text + "\n")


if __name__ == "__main__":
    main()
