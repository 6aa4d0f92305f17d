"""Time 10,000 fits of one shape, from statistics to theta, against the floor of the arithmetic.

    python benchmarks/batch.py [--fits 10000]

Responses are simulated row by row, which is not timed. The floor counts the products of one evaluation
with its derivatives and the statistics it reads, at the rates of a matrix product and of a copy on this
machine, times the evaluations made.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable

import jax
import numpy as np
from _report import Table, machine, milliseconds

import jaxmixed as jm
from jaxmixed import core
from jaxmixed.core._batch import fit_batch
from jaxmixed.core._fit import value_gradient_hessian

REPEATS = 7


def sleepstudy() -> core.Design:
    data = jm.datasets.load("sleepstudy")
    X = np.column_stack([np.ones(len(data)), data["Days"]]).astype(float)
    codes = np.unique(data["Subject"], return_inverse=True)[1]
    return core.Design(np.asarray(data["Reaction"], float), X, (core.RandomTerm(X, codes, 18, (2,)),))


def students() -> core.Design:
    """Simulate 200 students seen on six occasions."""
    rng = np.random.default_rng(0)
    student, occasion = np.repeat(np.arange(200), 6), np.tile(np.arange(6.0), 200)
    X = np.column_stack([np.ones(1200), occasion])
    y = 2.6 + 0.1 * occasion + 0.25 * rng.normal(size=200)[student] + 0.24 * rng.normal(size=1200)
    return core.Design(y, X, (core.RandomTerm(X[:, :1], student, 200, (1,)),))


def replicates(design: core.Design, fits: int) -> tuple[core.SuffStats, core.SuffStats, np.ndarray]:
    """Return statistics of simulated responses, the axes that differ, and the theta they come from."""
    stats = core.compress(design)
    theta = np.asarray(jax.jit(core.fit)(stats).theta)
    truth, (term,) = core.estimates(theta, stats), design.terms
    factor = core.relative_factors(theta, stats.blocks)[0]
    prepared = core.condition(design)
    plan, mean, rng = core.plan(prepared), design.X @ truth.beta, np.random.default_rng(1)
    each = []
    for _ in range(fits):
        b = rng.normal(size=(term.n_levels, len(factor))) @ factor.T
        noise = (term.z * b[term.codes]).sum(1) + rng.normal(size=len(mean))
        each.append(core.assemble(prepared, plan, mean + truth.sigma * noise, compress=True))
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *each)
    axes = jax.tree.map(lambda leaf: 0 if (leaf != leaf[:1]).any() else None, stacked)
    stats = jax.tree.map(lambda a, one: a if (a != a[:1]).any() else one, stacked, each[0])
    return stats, axes, theta


def median(task: Callable[[], object]) -> float:
    task()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        task()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def products(design: core.Design, theta: np.ndarray) -> int:
    """Count the multiplications of matrix products in one evaluation with its derivatives."""
    stats = core.compress(design)
    traced = jax.make_jaxpr(lambda t, s: value_gradient_hessian(t, s, True))(theta, stats)
    return _count(traced.jaxpr)


def _count(jaxpr) -> int:
    total = 0
    for equation in jaxpr.eqns:
        inner = [value for value in equation.params.values() if hasattr(value, "jaxpr")]
        total += sum(_count(value.jaxpr) for value in inner)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fits", type=int, default=10_000)
    fits = parser.parse_args().fits
    rows = []
    with jax.enable_x64(True):
        flop_rate, byte_rate = rates()
        for name, goal, design in (
            ("sleepstudy, slope", 12, sleepstudy()),
            ("students, intercept", 3, students()),
        ):
            stats, axes, theta = replicates(design, fits)
            found = fit_batch(stats, axes, theta=theta)
            seconds = median(lambda s=stats, a=axes, t=theta: fit_batch(s, a, theta=t))
            single = core.compress(design)
            numbers = sum(leaf.size for leaf in jax.tree.leaves((single.structure, single.C)))
            floor = 2 * products(design, theta) / flop_rate + 8 * numbers / byte_rate
            floor *= found.steps.sum()
            each = f"{seconds / fits * 1e6:.2f}"
            cells = (str(goal), each, f"{floor / fits * 1e6:.2f}", f"{seconds / floor:.1f}")
            rows.append((name, milliseconds(seconds), *cells, f"{found.steps.mean():.2f}"))
    header = ("", "ms", "goal, us a fit", "us a fit", "floor, us", "ratio", "evaluations a fit")
    note = f"{flop_rate / 1e9:.0f} Gflop/s, {byte_rate / 1e9:.1f} GB/s. " + machine([])
    print(Table(f"{fits} fits of one shape, warm medians", header, rows, (note,)).text())


if __name__ == "__main__":
    main()
