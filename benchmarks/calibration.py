"""How often a 5% test rejects a true hypothesis in small samples, by three methods in one compiled call.

    python benchmarks/calibration.py [--replicates 2000] [--write]

Ten groups of five rows, a random intercept as large as the residual (and, in a second model, a random slope
of the covariate within groups as large again), one covariate that differs between groups and one that
differs within them, both without effect. Every replicate is drawn, fitted by REML and
tested by Wald z, Satterthwaite and Kenward-Roger inside a single vmapped function. `--write` puts the table
into benchmarks/results/calibration.md.
"""

import argparse
import functools
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxmixed import core

GROUPS, ROWS, LEVEL, SEED = 10, 5, 0.05, 1
SINGULAR = 1e-4  # diagonal of Lambda, relative to sigma
METHODS = ("Wald z", "Satterthwaite", "Kenward-Roger")
EFFECTS = ("between groups", "within groups")
RESULTS = Path(__file__).parent / "results" / "calibration.md"


def design(slope: bool) -> core.Design:
    group = np.repeat(np.arange(GROUPS), ROWS)
    between = np.where(group < GROUPS // 2, -0.5, 0.5)
    within = np.tile(np.linspace(-1, 1, ROWS), GROUPS)
    X = np.column_stack([np.ones(GROUPS * ROWS), between, within])
    z = X[:, [0, 2]] if slope else X[:, :1]
    term = core.RandomTerm(z, group, GROUPS, (z.shape[1],))
    return core.Design(np.zeros(len(X)), X, (term,))


def p_values(keys: jax.Array, rows: core.Design):
    """Return p values, shape (replicates, methods, effects), and which fits converged or are singular."""
    prepared = core.condition(rows)
    plan, contrasts = core.plan(prepared), np.eye(3)[1:]
    factor, beta = np.eye(rows.terms[0].z.shape[1]), jnp.zeros(3)
    theta = factor[np.tril_indices(len(factor))]  # the order of theta, for two columns and fewer
    diagonal = np.flatnonzero(theta)

    def replicate(key):
        y = core.simulate(key, rows, theta, beta, jnp.ones(()))
        stats = core.assemble(prepared, plan, y, compress=True)
        fit = core.fit(stats)
        curved = core.curvature(fit.theta, stats)
        tests = (
            core.wald(fit.theta, stats),
            core.satterthwaite(fit.theta, stats, curved=curved),
            core.kenward_roger(fit.theta, stats, curved=curved),
        )
        p = jnp.stack([test.t_test(contrasts).p_value for test in tests])
        return p, fit.result == 0, (fit.theta[diagonal] < SINGULAR).any()

    return jax.vmap(replicate)(keys)


def run(replicates: int, rows: core.Design) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return what `p_values` does, and the seconds of a second call."""
    with jax.enable_x64(True):
        key = jax.random.key(SEED)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(replicates))
        program = jax.jit(functools.partial(p_values, rows=rows))
        jax.block_until_ready(program(keys))
        start = time.perf_counter()
        p, converged, singular = jax.block_until_ready(program(keys))
        return np.asarray(p), np.asarray(converged), np.asarray(singular), time.perf_counter() - start


def table(model: str, p: np.ndarray, converged: np.ndarray, singular: np.ndarray) -> str:
    n = int(converged.sum())
    size = (p[converged] < LEVEL).mean(axis=0)
    error = np.sqrt(size * (1 - size) / n)
    lines = [
        f"{model}: {n} of {len(p)} fits converged, {int(singular.sum())} of them on the boundary.",
        "",
        "| effect | " + " | ".join(METHODS) + " |",
        "| --- |" + " --- |" * len(METHODS),
    ]
    for j, effect in enumerate(EFFECTS):
        cells = [f"{size[i, j]:.4f} ({error[i, j]:.4f})" for i in range(len(METHODS))]
        lines.append(f"| {effect} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replicates", type=int, default=2000)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    parts = [
        f"Rejection rates of true hypotheses at the {LEVEL:.0%} level, with Monte Carlo standard errors, "
        f"in {options.replicates} data sets of {GROUPS} groups of {ROWS} rows "
        f"(`python benchmarks/calibration.py`)."
    ]
    for model, slope in (("Random intercept", False), ("Random intercept and slope", True)):
        p, converged, singular, seconds = run(options.replicates, design(slope))
        parts.append(table(model, p, converged, singular))
        print(f"{model}: {seconds:.3f} s, draws, fits and tests together, compiled before.")
    text = "\n\n".join(parts)
    print(f"\n{text}")
    if options.write:
        RESULTS.write_text(f"# Calibration of the tests\n\n{text}\n")


if __name__ == "__main__":
    main()
