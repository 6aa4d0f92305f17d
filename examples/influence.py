"""Which rows and subjects an estimate rests on: derivatives of the whole fit, and the fits they predict.

Run it whole, or cell by cell in an editor that knows `# %%`.
"""

# %% [markdown]
# # Influence without refitting
#
# Let row i of the sleep study count m_i times. The estimated slope is a function of all 180 weights, through
# the variances, which are estimated too. Its gradient at m = 1 costs one Hessian and one reverse pass, and
# says what leaving out any row would do, to first order.

# %%
import time

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from _page import heading, save, show, tell_where

import jaxmixed as jm
from jaxmixed import core

jax.config.update("jax_enable_x64", True)
sleepstudy = jm.datasets.load("sleepstudy")
subject, names = sleepstudy["Subject"].factorize()
X = np.column_stack([np.ones(180), sleepstudy["Days"]])
design = core.Design(sleepstudy["Reaction"].to_numpy(float), X, (core.RandomTerm(X, subject, 18, (2,)),))
stats = jax.tree.map(jnp.asarray, core.compress(design))
fit = jax.jit(core.fit)
theta = fit(stats).theta


def slope(theta, stats):
    return core.estimates(theta, stats).beta[1]


rows = jax.jit(lambda theta: core.row_influence(slope, design, theta))
groups = jax.jit(lambda theta: core.group_influence(slope, design, theta))

# %% [markdown]
# Any number that a fit leads to will do for `slope`: a p value, a variance, a prediction.


# %%
def milliseconds(function, argument) -> float:
    times = []
    for _ in range(30):
        start = time.perf_counter()
        jax.block_until_ready(function(argument))
        times.append(1e3 * (time.perf_counter() - start))
    return min(times[1:])


heading("What one fit costs, and what all influences cost, once compiled")
cost = {
    "fit": milliseconds(fit, stats),
    "rows": milliseconds(rows, theta),
    "groups": milliseconds(groups, theta),
}
for name, of in (
    ("one fit", "fit"),
    ("influence of 180 rows", "rows"),
    ("influence of 18 subjects", "groups"),
):
    print(f"{name:25}{cost[of]:6.2f} ms")

# %% [markdown]
# ## Against fits without each
#
# All 180 fits without one row, and all 18 without one subject, as weights of zero.

# %%
prepared = core.condition(design)
whole = core.suffstats(design)
parts = core.clusters(prepared, core.plan(prepared), design.y)


def left_out(weighted, size: int):
    def one(m):
        stats = weighted(m)
        return slope(core.fit(stats, theta=theta).theta, stats)

    return jax.jit(lambda: jax.lax.map(one, jnp.ones((size, size)) - jnp.eye(size), batch_size=18))()


without_row = left_out(lambda m: core.row_weighted(prepared, design.y, whole, m), 180)
without_group = left_out(parts.weighted, 18)
found = rows(theta), groups(theta)
agreement = [
    np.corrcoef(exact - f.value, -f.slopes)[0, 1]
    for f, exact in zip(found, (without_row, without_group), strict=True)
]

figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
for ax, f, exact, name in zip(axes, found, (without_row, without_group), ("row", "subject"), strict=True):
    ax.axline((0, 0), slope=1, color="0.8")
    ax.plot(-f.slopes, exact - f.value, ".")
    ax.set(xlabel="predicted by the derivative", ylabel=f"slope without one {name}, less the slope")
save(axes, "influence")

# %% [markdown]
# ## The rows that a conclusion rests on
#
# If influences add up, the fewest rows that would overturn a conclusion are the most influential ones.
# `robustness` finds them and fits again without them.

# %%
heading("Cakes: is recipe C worse than A?")
cakes = jm.lmer("angle ~ recipe + temp + (1 | replicate)", jm.datasets.load("cake"))
show(cakes.tidy("fixed").set_index("term")[["estimate", "std_error", "p_value"]])
robust = cakes.robustness("recipe[T.C]")
show(robust.table)
sign = robust.table.loc["sign"]

# %%
heading("What this shows")
rows_cost, groups_cost = cost["rows"] / cost["fit"], cost["groups"] / cost["fit"]
print(f"Derivatives predict the slopes of 180 fits without a row (correlation {agreement[0]:.3f}) and of 18")
print(f"without a subject ({agreement[1]:.3f}), at the cost of {rows_cost:.1f} and {groups_cost:.1f} fits.")
print(f"Leaving out {sign['n_dropped']} of 270 cakes turns the sign of a recipe's effect:")
print(f"{sign['predicted']:.2f} was predicted and {sign['estimate']:.2f} found.")
tell_where()
