"""Random intercepts made by hand: simulate them, find them again, and see what the design of a study buys.

Run it whole, or cell by cell in an editor that knows `# %%`.
"""

# %% [markdown]
# # Simulating random intercepts
#
# Groups differ by u, rows by e, and a covariate x adds a half for each unit:
#
#     y = 2 + 0.5 x + u + e,     u ~ N(0, sd_between^2),     e ~ N(0, sd_within^2)
#
# Here the truth is known, so that the answers can be marked.

# %%
import itertools
import time

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from _page import heading, save, show, tell_where

import jaxmixed as jm
from jaxmixed import core

BETA = np.array([2.0, 0.5])


def simulated(groups: int, size: int, between: float, within: float, seed: int = 1234) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), size)
    x = random.normal(size=groups * size)
    u, e = random.normal(0, between, groups), random.normal(0, within, groups * size)
    return pd.DataFrame({"y": BETA[0] + BETA[1] * x + u[group] + e, "x": x, "group": group})


# %% [markdown]
# ## A hundred groups of three

# %%
heading("100 groups of 3, standard deviations 0.5 between and 0.25 within groups")
data = simulated(groups=100, size=3, between=0.5, within=0.25)
fit = jm.lmer("y ~ x + (1 | group)", data)
print(fit.summary())
truth = pd.Series([*BETA, 0.5, 0.25], ["Intercept", "x", "sd(Intercept | group)", "sigma"], name="truth")
limits = fit.conf_int(method="profile", parm="all")
limits["inside"] = (limits["conf_low"] < truth) & (truth < limits["conf_high"])
print("\nThe truth and 95% profile intervals:\n")
show(limits.assign(truth=truth)[["truth", "conf_low", "conf_high", "inside"]])

# %% [markdown]
# ## Other groups, other sizes, other variances
#
# One thing is changed at a time. The intraclass correlation is the share of the variance between groups; it
# depends on the two standard deviations and not on how many groups there are or how large they are. These
# decide how well it is known.

# %%
STUDIES = {
    "as above": dict(groups=100, size=3, between=0.5, within=0.25),
    "variances changed": dict(groups=100, size=3, between=0.25, within=0.5),
    "50 groups": dict(groups=50, size=3, between=0.5, within=0.25),
    "groups of 10": dict(groups=100, size=10, between=0.5, within=0.25),
}
heading("One thing changed at a time")
fits = {name: jm.lmer("y ~ x + (1 | group)", simulated(**study)) for name, study in STUDIES.items()}
rows = {}
for name, one in fits.items():
    study, ends = STUDIES[name], one.conf_int(method="profile", parm="all")
    width = ends["conf_high"] - ends["conf_low"]
    rows[name] = {
        "true ICC": study["between"] ** 2 / (study["between"] ** 2 + study["within"] ** 2),
        "ICC": one.icc()["adjusted"],
        "sd of effects": one.ranef()["value"].std(),
        "width: Intercept": width["Intercept"],
        "x": width["x"],
        "sd between": width["sd(Intercept | group)"],
        "sigma": width["sigma"],
    }
print("The last four columns are widths of 95% profile intervals.\n")
show(pd.DataFrame(rows).T)

# %% [markdown]
# The predicted effects of groups spread less than the groups do, most where groups are small and rows vary
# much: the less a group's rows say, the more its effect is drawn towards zero.

# %%
figure, axes = plt.subplots(2, 2, figsize=(9, 6), layout="constrained", sharex=True)
for ax, (name, one) in zip(axes.flat, fits.items(), strict=True):
    jm.plots.ranef_density(one, ax=ax)
    ax.text(0.02, 0.95, name, transform=ax.transAxes, va="top")
save(axes, "simulated_effects")

# %% [markdown]
# ## All of it at once
#
# One data set is one throw of the dice. A study of designs throws them many times: here every combination of
# variances, numbers of groups and sizes, 500 data sets each. The model needs its data only through a few
# sums, its sufficient statistics. They have the same shape in all designs, and can be drawn without drawing
# any data, so that all of it is two calls: one draws, the other fits.

# %%
heading("Every combination, 500 data sets each")
REPLICATES = 500
NAMES = ["groups", "size", "between", "within"]
SHAPES, DEVIATIONS = itertools.product((50, 100), (3, 10)), ((0.5, 0.25), (0.25, 0.5))
GRID = [(*shape, *sds) for shape, sds in itertools.product(SHAPES, DEVIATIONS)]


def statistics(groups: int, size: int) -> core.SuffStats:
    """Return the statistics of a design. Its response is a placeholder."""
    data = simulated(groups, size, 0.0, 1.0)
    X = np.column_stack([np.ones(len(data)), data["x"]])
    term = core.RandomTerm(X[:, :1], data["group"].to_numpy(), groups, (1,))
    return core.compress(core.Design(data["y"].to_numpy(), X, (term,)))


def drawn(key: jax.Array, design: core.SuffStats, theta: jax.Array, sigma: jax.Array) -> core.SuffStats:
    """Draw the statistics of many data sets of one design."""
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(REPLICATES))
    return jax.vmap(lambda key: core.simulate_stats(key, theta, BETA, sigma, design))(keys)


def read(theta: jax.Array, stats: core.SuffStats) -> tuple[jax.Array, ...]:
    """Return slope, its standard error, and the intraclass correlation."""
    found = core.estimates(theta, stats)
    return found.beta[1], jnp.sqrt(found.vcov[1, 1]), theta[0] ** 2 / (1 + theta[0] ** 2)


draw_all, read_all = jax.jit(jax.vmap(drawn)), jax.jit(jax.vmap(read))


def study(seed: int) -> tuple[list[np.ndarray], int]:
    """Return what `read` does, one row for each design, and how many fits converged."""
    with jax.enable_x64(True):
        designs = jax.tree.map(lambda *leaves: np.stack(leaves), *(statistics(*cell[:2]) for cell in GRID))
        sds = np.array([cell[2:] for cell in GRID])
        keys = jax.random.split(jax.random.key(seed), len(GRID))
        stats = draw_all(keys, designs, sds[:, :1] / sds[:, 1:], sds[:, 1])
        stats = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), stats)
        fits = core.fit_batch(stats)
        answers = [np.asarray(values).reshape(len(GRID), -1) for values in read_all(fits.theta, stats)]
        return answers, int((fits.result == 0).sum())


seconds = []
for _ in range(2):
    start = time.perf_counter()
    (slope, se, icc), converged = study(seed=0)
    seconds.append(time.perf_counter() - start)

table = pd.DataFrame(GRID, columns=NAMES)
table["true ICC"] = table["between"] ** 2 / (table["between"] ** 2 + table["within"] ** 2)
table["mean ICC"], table["sd of ICC"] = icc.mean(axis=1), icc.std(axis=1, ddof=1)
table["width: x"] = 2 * 1.96 * se.mean(axis=1)
table["covered"] = (np.abs(slope - BETA[1]) < 1.96 * se).mean(axis=1)
print("Width of a 95% interval of the slope of x, and how often it held the truth:\n")
show(table)
print(f"{slope.size} data sets drawn and fitted in {seconds[1]:.2f} s, {converged} of the fits converged;")
print(f"the first time, when JAX compiles the programs, in {seconds[0]:.1f} s.")
tell_where()
