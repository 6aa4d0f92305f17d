"""What a task must compute and move at the least: flops, and bytes to and from memory.

Counted are the products of matrices in the evaluations of criterion, gradient and Hessian that were made, and
the statistics and rows they read; random numbers, small factorisations and tables are not.
"""

import math
import time
from collections.abc import Callable

import jax
import numpy as np

import jaxmixed as jm
from jaxmixed import core
from jaxmixed.core._fit import differentiated
from jaxmixed.frame import _replicates

WORD = 8  # bytes of a number
REPEATS = 5


def rates() -> dict[str, float]:
    """Return flops and bytes a second: a matrix product, and a copy beyond the caches."""
    square, long = np.ones((1500, 1500)), np.ones(2**24)
    target = np.empty_like(long)
    copy = _fastest(lambda: np.copyto(target, long))
    return {
        "flops": 2 * len(square) ** 3 / _fastest(lambda: square @ square),
        "bytes": 2 * WORD * len(long) / copy,
    }


def _fastest(task: Callable[[], object]) -> float:
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        task()
        taken.append(time.perf_counter() - start)
    return min(taken)


def of_replicates(fit: jm.LmerResult, n: int) -> dict[str, float]:
    """Return the floor of fitting n parametric replicates, from what each of them evaluates."""
    with jax.enable_x64(True):
        found, _ = _replicates._recipe(fit, "parametric").fit(jax.random.key(1), 0, n, fit.reml, core.nothing)
    return of_evaluations(fit, float(found.steps.sum()))


def of_evaluations(fit: jm.LmerResult, evaluations: float) -> dict[str, float]:
    """Return the floor of evaluations of the criterion with its derivatives."""
    with jax.enable_x64(True):
        traced = jax.make_jaxpr(lambda t, s: differentiated(t, s, True))(fit.theta, fit.stats)
    numbers = core.numbers_in((fit.stats.structure, fit.stats.C))
    return {"flops": 2.0 * evaluations * _products(traced.jaxpr), "bytes": WORD * evaluations * numbers}


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


def of_responses(fit: jm.LmerResult, n: int) -> dict[str, float]:
    """Return the floor of n responses: read each once, multiply it with X and Z, fit."""
    X, q = fit.frame.design.X, sum(term.z.shape[1] for term in fit.frame.design.terms)
    fitted = of_evaluations(fit, n * float(fit.optimum.steps))
    rows = n * len(X)
    return {
        "flops": fitted["flops"] + 2 * rows * (X.shape[1] + q),
        "bytes": fitted["bytes"] + WORD * rows,
    }


def of_dense_block(fit: jm.LmerResult) -> dict[str, float]:
    """Return the floor of crossed factors: all but the largest leave a dense matrix, of m levels.

    Each evaluation factors it (m^3 / 3 multiplications), and its gradient inverts the factor (2 m^3 / 3).
    """
    levels = sorted(term.n_levels * term.z.shape[1] for term in fit.frame.design.terms)
    m, evaluations = sum(levels[:-1]), float(fit.optimum.steps) + 1
    return {"flops": 2 * evaluations * m**3, "bytes": WORD * evaluations * 4 * m**2}


def of_rows(n: int, columns: int, p: int) -> dict[str, float]:
    """Return the floor of reading rows twice and of adding the products of p columns of each once."""
    return {"flops": float(n * p * (p + 1)), "bytes": 2.0 * WORD * n * columns}
