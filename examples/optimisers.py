"""The criterion under other people's optimisers: optax and optimistix end where `core.fit` does.

Run it whole, or cell by cell in an editor that knows `# %%`. It needs `pip install "jaxmixed[examples]"`.
"""

# %% [markdown]
# # One function, four optimisers
#
# `core.criterion(theta, stats)` is a pure function: -2 log restricted likelihood of the relative covariance
# parameters, unconstrained. Any minimiser of JAX functions takes it.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
import optimistix as optx
import pandas as pd
from _page import heading, save, show, tell_where

import jaxmixed as jm
from jaxmixed import core

jax.config.update("jax_enable_x64", True)
sleepstudy = jm.datasets.load("sleepstudy")
X = np.column_stack([np.ones(180), sleepstudy["Days"]])
term = core.RandomTerm(X, sleepstudy["Subject"].factorize()[0], 18, (2,))
stats = jax.tree.map(
    jnp.asarray, core.compress(core.Design(sleepstudy["Reaction"].to_numpy(float), X, (term,)))
)
start = jnp.array([1.0, 0.0, 0.1])


def criterion(theta):
    return core.criterion(theta, stats)


# %%
def by_optax(optimiser, steps: int):
    step_of = optax.value_and_grad_from_state(criterion) if optimiser is LBFGS else None

    def step(carry, _):
        theta, state = carry
        if step_of is None:
            value, gradient = jax.value_and_grad(criterion)(theta)
            updates, state = optimiser.update(gradient, state, theta)
        else:
            value, gradient = step_of(theta, state=state)
            updates, state = optimiser.update(
                gradient, state, theta, value=value, grad=gradient, value_fn=criterion
            )
        return (optax.apply_updates(theta, updates), state), value

    (theta, _), values = jax.jit(lambda: jax.lax.scan(step, (start, optimiser.init(start)), None, steps))()
    return theta, values


LBFGS = optax.lbfgs()
fitted = jax.jit(core.fit)(stats)
adam, adam_path = by_optax(optax.adam(optax.cosine_decay_schedule(0.05, 1500)), 1500)
lbfgs, lbfgs_path = by_optax(LBFGS, 30)
bfgs = optx.minimise(lambda theta, _: criterion(theta), optx.BFGS(rtol=1e-10, atol=1e-10), start)

found = {"core.fit": fitted.theta, "optax adam": adam, "optax lbfgs": lbfgs, "optimistix BFGS": bfgs.value}
steps = [int(fitted.steps), 1500, 30, int(bfgs.stats["num_steps"])]
table = pd.DataFrame(
    {name: [*np.abs(theta), criterion(theta)] for name, theta in found.items()},
    index=["theta 1", "theta 2", "theta 3", "criterion"],
).T.assign(steps=steps)
heading("Where each of them ends")
show(table, 6)

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name, values in (("adam", adam_path), ("lbfgs", lbfgs_path)):
    ax.loglog(1 + np.arange(len(values)), np.maximum(values - fitted.criterion, 1e-13), label=f"optax {name}")
ax.set(xlabel="step", ylabel="criterion above its minimum")
ax.legend()
save(ax, "optimisers")

# %% [markdown]
# ## A minimum, however found, is differentiable
#
# `core.as_minimum` makes a function of the data of it: no step of the optimiser is differentiated.


# %%
def slope_of(theta_of):
    def slope(scale):
        moved = core.row_weighted(prepared, whole_y, whole, 1 + scale * weight)
        return theta_of(moved)

    return jax.jit(jax.jacfwd(slope))(0.0)


design = core.Design(sleepstudy["Reaction"].to_numpy(float), X, (term,))
prepared, whole, whole_y = core.condition(design), core.suffstats(design), design.y
weight = jnp.asarray(np.arange(180) == 59, float)
through_fit = slope_of(lambda s: core.fit(s).theta)
through_optimistix = slope_of(lambda s: core.as_minimum(bfgs.value, s))
apart = np.abs(through_fit - through_optimistix).max()
gap = max(float(criterion(theta) - fitted.criterion) for theta in found.values())

heading("What this shows")
print(
    f"optax and optimistix reach the minimum of core.fit to within {max(gap, 0):.0e} on the deviance scale,"
)
print(f"in 30 to 1500 steps where it takes {steps[0]}; derivatives of theta in the weight of row 60 agree")
print(f"to {apart:.0e}.")
tell_where()
