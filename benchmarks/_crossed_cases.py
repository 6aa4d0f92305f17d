"""The cases of crossed.py, each in a process of its own: python benchmarks/_crossed_cases.py CASE OPTIONS.

GPBoost's is run by the interpreter that has it, so that packages are imported where they are used.
"""

import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from _ratings import SHAPES, ratings

RATINGS = "y ~ 1 + (1 | user) + (1 | item)"
LEVELS, MEETINGS = (2_000, 1_000), 100_000  # of the data whose rows grow, and which levels share rows


def peak() -> float:
    """Return the most memory that this process has had, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def clocked(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def fit_insteval(formula: str, method: str, theta: str) -> dict[str, Any]:
    """Fit InstEval cold and warm, and evaluate the criterion where lme4 ended."""
    import jaxmixed as jm
    from jaxmixed import core

    data, reml = jm.datasets.load("InstEval"), method == "REML"

    def call() -> jm.LmerResult:
        fit = jm.lmer(formula, data, reml=reml)
        fit.bse.to_numpy()
        return fit

    cold, fit = clocked(call)
    warm = min(clocked(call)[0] for _ in range(3))
    there = float(core.criterion(np.array(json.loads(theta)), fit.stats, reml)) if theta else None
    return {"cold": cold, "warm": warm, "criterion": fit.criterion, "there": there}


def fit_ratings(shape: str, covariate: str) -> dict[str, Any]:
    """Fit ratings exactly, and ask all that is asked of a fit."""
    import jax

    import jaxmixed as jm
    from jaxmixed.core import Crossed
    from jaxmixed.core._average_information import value_gradient_information
    from jaxmixed.core._dense import logdet_gram

    frame = ratings(*SHAPES[shape], seed=1).frame()
    formula, rng = RATINGS, np.random.default_rng(2)
    if covariate:
        frame["x"] = rng.normal(size=len(frame))
        frame["y"] += 0.1 * frame["x"]
        formula = "y ~ 1 + x + (1 | user) + (1 | item)"
    data = peak()
    cold, _ = clocked(lambda: jm.lmer(formula, frame, solver="direct").bse)
    warm, fit = clocked(lambda: jm.lmer(formula, frame, solver="direct"))
    fitting = peak()
    sd = fit.sigma * fit.theta
    steps = {name: clocked(work)[0] for name, work in {
        "estimates and standard errors": lambda: fit.bse,
        "ranef(), conditional variances with them": fit.ranef,
        "predict() of a million new rows": lambda: fit.predict(frame.iloc[::-1]),
        "summary(), Satterthwaite's degrees of freedom with it": lambda: str(fit.summary()),
    }.items()}  # fmt: skip
    found = {
        "cold": cold, "warm": warm, "evaluations": int(fit.optimum.steps), "sd": [*sd, fit.sigma],
        "data": data, "fitting": fitting, "peak": peak(), "asked": steps,
    }  # fmt: skip
    structure = fit.stats.structure
    assert isinstance(structure, Crossed)
    with jax.enable_x64(True):
        evaluate = jax.jit(
            lambda theta, stats: value_gradient_information(theta, stats.structure, stats, True)
        )
        S = np.tril(structure.A_others / structure.A_others.max() + np.eye(len(structure.A_others)))
        W = np.ones((len(S), 2))
        inverse = jax.jit(logdet_gram)
        parts = {"evaluation": lambda: evaluate(fit.theta, fit.stats), "floor": lambda: inverse(S, W)}
        for name, work in parts.items():
            jax.block_until_ready(work())
            found[name] = min(clocked(lambda work=work: jax.block_until_ready(work()))[0] for _ in range(3))
    return found


def fit_iteratively(shape: str, solver: str) -> dict[str, Any]:
    """Fit ratings by a solver, read what it says of its error, and ask for every level's effect."""
    import jaxmixed as jm

    frame = ratings(*SHAPES[shape], seed=1).frame()
    data = peak()
    seconds, fit = clocked(lambda: jm.lmer(RATINGS, frame, solver=solver))
    found = {
        "seconds": seconds, "data": data, "fitting": peak(), "evaluations": int(fit.optimum.steps),
        "theta": [float(x) for x in fit.theta], "sd": [*(float(x) for x in fit.sigma * fit.theta), fit.sigma],
    }  # fmt: skip
    if solver != "direct":
        error = fit._monte_carlo
        found["error"] = [float(x) for x in np.sqrt(np.diagonal(error.variances))[:2]]
        found["se"], found["cg"] = [float(x) for x in error.theta_se], int(error.steps)
        found["criterion"] = float(error.criterion)
    if shape == "1M":
        found["ranef"] = clocked(fit.ranef)[0]
        found["predict"] = clocked(lambda: fit.predict(frame.iloc[:1_000_000]))[0]
    found["peak"] = peak()
    return found


def fit_rows(n: str) -> dict[str, Any]:
    """Time an evaluation of the criterion and its derivatives, of n rows at fixed levels."""
    import jax

    from jaxmixed import core
    from jaxmixed.core._average_information import value_gradient_information

    rng, rows, ones = np.random.default_rng(3), int(n), np.ones((int(n), 1))
    met = ratings(MEETINGS, *LEVELS, seed=3)
    again = np.concatenate([np.arange(MEETINGS), rng.integers(0, MEETINGS, rows - MEETINGS)])
    codes = [met.user[again], met.item[again]]
    y = rng.normal(size=rows) + sum(rng.normal(0, 0.5, J)[c] for c, J in zip(codes, LEVELS, strict=True))
    terms = tuple(core.RandomTerm(ones, c, J, (1,)) for c, J in zip(codes, LEVELS, strict=True))
    reading, stats = clocked(lambda: core.compress(core.Design(y, ones, terms)))
    with jax.enable_x64(True):
        evaluate = jax.jit(
            lambda theta, stats: value_gradient_information(theta, stats.structure, stats, True)
        )
        theta = np.array([0.5, 0.5])
        jax.block_until_ready(evaluate(theta, stats))
        once = min(clocked(lambda: jax.block_until_ready(evaluate(theta, stats)))[0] for _ in range(5))
    return {"reading": reading, "evaluation": once, "peak": peak()}


def fit_own(n: str, users: str, items: str) -> dict[str, Any]:
    """Fit ratings by maximum likelihood and iterative methods, as GPBoost does, cold and warm."""
    import jaxmixed as jm

    frame = ratings(int(n), int(users), int(items), seed=1).frame()

    def call() -> jm.LmerResult:
        return jm.lmer(RATINGS, frame, reml=False, solver="iterative")

    seconds, fit = clocked(call)
    warm, _ = clocked(call)
    return {"seconds": seconds, "warm": warm, "sd": [*(fit.sigma * fit.theta), fit.sigma], "peak": peak()}


def fit_gpboost(n: str, users: str, items: str) -> dict[str, Any]:
    """Fit ratings by GPBoost, by its iterative methods."""
    gpboost = importlib.import_module("gpboost")

    made = ratings(int(n), int(users), int(items), seed=1)

    def call() -> Any:
        groups = np.column_stack([made.user, made.item])
        model = gpboost.GPModel(group_data=groups, likelihood="gaussian", matrix_inversion_method="iterative")
        model.fit(y=made.latent, X=np.ones((len(groups), 1)))
        return np.sqrt(np.ravel(model.get_cov_pars(format_pandas=False))[:3])

    seconds, (sigma, *sd) = clocked(call)
    return {"seconds": seconds, "sd": [*map(float, sd), float(sigma)], "peak": peak()}


CASES = {
    case.__name__: case
    for case in (fit_insteval, fit_ratings, fit_iteratively, fit_rows, fit_own, fit_gpboost)
}

if __name__ == "__main__":
    case, *options = sys.argv[1:]
    print(json.dumps(CASES[case](*options)))
