"""How often intervals hold the truth: every method on the same simulated small data sets.

    python benchmarks/coverage.py [--datasets 2000] [--replicates 999] [--write]

Ten groups of five rows with a random intercept as large as the residual, as in calibration.py. Each data set
is fitted, bootstrapped by parametric replicates and fitted again without each group; Wald, Satterthwaite and
Kenward-Roger intervals stand beside the bootstrap's. `--write` puts the table into results/coverage.md.
"""

import argparse
import functools
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from calibration import GROUPS, ROWS, design
from scipy.special import ndtri, stdtrit

from jaxmixed import core
from jaxmixed.frame import _bootstrap_intervals as by

RESULTS = Path(__file__).parent / "results" / "coverage.md"
PARAMETERS = ("between groups", "within groups", "sd of groups", "sigma")
TRUTH = np.array([0.0, 0.0, 1.0, 1.0])
T_METHODS = {"Satterthwaite t": core.satterthwaite, "Kenward-Roger t": core.kenward_roger}
METHODS = ("Wald z", *T_METHODS, "percentile", "basic", "normal", "studentized", "bca")
A, SEED, AT_ONCE = 0.025, 1, 16  # AT_ONCE: data sets bootstrapped in one batch


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", type=int, default=2000)
    parser.add_argument("--replicates", type=int, default=999)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    with jax.enable_x64(True):
        start = time.perf_counter()
        hits = coverage(options.datasets, options.replicates)
        seconds = time.perf_counter() - start
    text = table(hits, options.replicates)
    print(text)
    fits = options.datasets * (options.replicates + GROUPS + 1)
    print(f"\n{fits:,} fits in {seconds:.0f} s, compilation included.")
    if options.write:
        RESULTS.write_text(f"# Coverage of the intervals\n\n{text}\n")


def coverage(datasets: int, replicates: int) -> np.ndarray:
    """Return whether each interval holds the truth, (datasets, methods, parameters); NaN for none."""
    rows = design(slope=False)
    prepared = core.condition(rows)
    plan = core.plan(prepared)
    key = jax.random.key(SEED)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(datasets))
    simulate = jax.jit(jax.vmap(lambda key: core.simulate(key, rows, np.ones(1), np.zeros(3), 1.0)))
    responses = np.asarray(simulate(keys))
    stats = stack([core.assemble(prepared, plan, y, compress=True) for y in responses])
    found = core.fit_batch(stats)
    estimates, se = read(found.theta, stats)
    left_out = jackknife(prepared, plan, responses)
    hits = np.empty((datasets, len(METHODS), len(PARAMETERS)))
    for first in range(0, datasets, AT_ONCE):
        own = slice(first, min(first + AT_ONCE, datasets))
        part = jax.tree.map(lambda leaf, own=own: leaf[own], stats)
        drawn = bootstrap(keys[own], found.theta[own], part, replicates)
        again = core.fit_batch(
            jax.tree.map(lambda leaf: np.asarray(leaf).reshape(-1, *leaf.shape[2:]), drawn)
        )
        values, spread = (x.reshape(-1, replicates, x.shape[1]) for x in read_many(again.theta, drawn))
        for i in range(len(values)):
            d = first + i
            hits[d] = held(found.theta[d], part, i, estimates[d], se[d], values[i], spread[i], left_out[d])
    return hits


def stack(each: list) -> core.SuffStats:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *each)


@jax.jit
def read(theta, stats):
    """Return between, within, sd and sigma, and the standard errors of the first two."""

    def one(theta, stats):
        at = core.estimates(theta, stats)
        values = jnp.concatenate([at.beta[1:], theta * at.sigma, at.sigma[None]])
        return values, jnp.sqrt(jnp.diagonal(at.vcov))[1:]

    return jax.vmap(one)(theta, stats)


def read_many(theta, drawn):
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), drawn)
    return (np.asarray(x) for x in read(theta, flat))


def samplers(theta, stats):
    def one(theta, stats):
        at = core.estimates(theta, stats)
        return core.sampler(theta, at.beta, at.sigma, stats)

    return jax.vmap(one)(theta, stats)


@functools.partial(jax.jit, static_argnames="replicates")
def bootstrap(keys, theta, stats, replicates: int):
    """Return replicates of every data set, with two leading axes."""

    def one(key, own):
        key = jax.random.fold_in(key, 1)
        return jax.vmap(lambda i: core.draw(jax.random.fold_in(key, i), own))(jnp.arange(replicates))

    return jax.vmap(one)(keys, samplers(theta, stats))


def jackknife(prepared, plan, responses) -> np.ndarray:
    """Return the estimates of each data set without each group, shape (datasets, groups, parameters)."""
    weights = 1 - np.eye(GROUPS)
    each = []
    for y in responses:
        apart = core.clusters(prepared, plan, y)
        each += [apart.weighted(m) for m in weights]
    stats = stack(each)
    values, _ = read(core.fit_batch(stats).theta, stats)
    return np.asarray(values).reshape(len(responses), GROUPS, -1)


def held(theta, stats, i, estimates, se, values, spread, left_out) -> np.ndarray:
    """Return which intervals of one data set hold the truth."""
    own = jax.tree.map(lambda leaf: np.asarray(leaf[i]), stats)
    estimates, se = np.asarray(estimates), np.asarray(se)
    margins = {"Wald z": ndtri(1 - A) * se}
    for method, reference in T_METHODS.items():
        test = reference(theta, own).t_test(np.eye(3)[1:])
        margins[method] = stdtrit(test.df, 1 - A) * test.std_error
    rows = []
    for method in METHODS:
        limits = np.full((2, len(PARAMETERS)), np.nan)
        if method in margins:
            limits[:, :2] = estimates[:2] + np.array([[-1], [1]]) * margins[method]
        elif method == "studentized":
            limits[:, :2] = by.studentized(values[:, :2], spread, estimates[:2], se, A)
        elif method == "bca":
            limits = by.bca(values, estimates, A, left_out)
        else:
            limits = getattr(by, method)(values, estimates, A)
        inside = (limits[0] <= TRUTH) & (limits[1] >= TRUTH)
        rows.append(np.where(np.isnan(limits[0]), np.nan, inside))
    return np.array(rows)


def table(hits: np.ndarray, replicates: int) -> str:
    rate = hits.mean(axis=0)
    error = np.sqrt(rate * (1 - rate) / len(hits))
    lines = [
        f"Coverage of 95% intervals, with its Monte Carlo standard error, over {len(hits)} data sets of "
        f"{GROUPS} groups of {ROWS} rows, {replicates} parametric replicates each "
        f"(`python benchmarks/coverage.py`).",
        "",
        "| interval | " + " | ".join(PARAMETERS) + " |",
        "| --- |" + " --- |" * len(PARAMETERS),
    ]
    for i, method in enumerate(METHODS):
        cells = ["-" if np.isnan(r) else f"{r:.3f} ({e:.3f})" for r, e in zip(rate[i], error[i], strict=True)]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
