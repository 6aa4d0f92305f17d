"""Where to measure and whom to follow: gradients of a variance and of power in the design.

Run it whole, or cell by cell in an editor that knows `# %%`.
"""

# %% [markdown]
# # When to measure
#
# Children grow along a curve with a bend, y = b0 + b1 t + b2 t^2, each with an intercept of its own. Four
# visits in one unit of time are to show the bend. The variance of its estimate is a function of the four
# times; its gradient moves them.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from _page import heading, save, tell_where

from jaxmixed import core

jax.config.update("jax_enable_x64", True)
CHILDREN, SIGMA, THETA = 10, 1.0, jnp.array([1.5])
child = np.repeat(np.arange(CHILDREN), 4)
BEND = np.array([[0.0, 0.0, 1.0]])


def design(times):
    t = jnp.tile(times, CHILDREN)
    X = jnp.column_stack([jnp.ones_like(t), t, t**2])
    term = core.RandomTerm(np.ones((4 * CHILDREN, 1)), child, CHILDREN, (1,))
    return core.suffstats(core.Design(jnp.zeros(4 * CHILDREN), X, (term,)))


def log_variance(free):
    return jnp.log(core.contrast_variance(BEND, THETA, SIGMA, design(jax.nn.sigmoid(free)))[0])


# %% [markdown]
# Theory has the answer: half of the measurements in the middle, a quarter at either end.

# %%
optimiser = optax.adam(0.3)


def step(carry, _):
    free, state = carry
    updates, state = optimiser.update(jax.grad(log_variance)(free), state)
    return (jnp.clip(free + updates, -8, 8), state), jax.nn.sigmoid(free)


start = jnp.array([-1.5, -0.5, 0.5, 1.5])
(free, _), path = jax.jit(lambda: jax.lax.scan(step, (start, optimiser.init(start)), None, 300))()
times = np.sort(path[-1])
heading("Times of four visits that show the bend best")
print("from", np.round(path[0], 2), "to", times.round(2))
gain = jnp.exp(log_variance(start) - log_variance(free))

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.plot(path)
ax.set(xlabel="step", ylabel="time of each visit")
save(ax, "optimal_times")

# %% [markdown]
# # Whom to follow
#
# A treatment changes the slope of a line. A child can be followed shortly (two visits, at 0 and 1) or at
# length (five visits). How many children of each kind? The weight of a group is how many children are like
# it: power is a smooth function of four numbers, and its gradient for each unit of cost says what to add.

# %%
SHORT, LONG = np.array([0.0, 1.0]), np.linspace(0, 1, 5)
kinds = [(times, arm) for times in (SHORT, LONG) for arm in (0, 1)]
t = np.concatenate([times for times, _ in kinds])
arm = np.concatenate([np.full(len(times), arm) for times, arm in kinds])
kind = np.concatenate([np.full(len(times), i) for i, (times, _) in enumerate(kinds)])
X = np.column_stack([np.ones_like(t), t, t * arm])
one_of_each = core.Design(np.zeros(len(t)), X, (core.RandomTerm(X[:, :2], kind, 4, (2,)),))
prepared = core.condition(one_of_each)
children = core.clusters(prepared, core.plan(prepared), one_of_each.y)
BETA, SLOPES = jnp.array([0.0, 1.0, 0.5]), jnp.array([0.8, 0.1, 0.6])
COST = np.array([1 + len(times) for times, _ in kinds])  # a child costs as much as a visit


@jax.jit
@jax.value_and_grad
def power(numbers):
    return core.wald_power(BEND, BETA, SLOPES, SIGMA, children.weighted(numbers))[0]


heading("Power to see the treatment, and what a unit of cost more would add")
few = 0.1  # of the kinds not followed: none would leave nothing to differentiate
for numbers in (np.array([30.0, 30.0, few, few]), np.array([few, few, 15.0, 15.0])):
    value, gradient = power(jnp.asarray(numbers))
    a, b = np.round(numbers[:2].sum()), np.round(numbers[2:].sum())
    worth = np.asarray(gradient / COST)
    print(
        f"{a:.0f} children followed shortly, {b:.0f} at length, cost {numbers @ COST:.0f}: power {value:.3f}"
    )
    print(f"  one more unit adds {worth[:2].mean():.4f} if spent shortly, {worth[2:].mean():.4f} at length")
better = "short" if worth[:2].sum() > worth[2:].sum() else "long"
exact = power(jnp.asarray(numbers).at[0].add(1.0))[0] - value

# %%
heading("What this shows")
print(f"Descent along exact gradients moved four visits to {times.round(2)}, the optimum known from")
print(
    f"theory, and made the variance of the bend {gain:.1f} times smaller. For a treatment's effect on slopes"
)
print(f"the next unit of money goes to {better} follow-up; one child more adds {exact:.4f} to power,")
print(f"{gradient[0]:.4f} by the gradient.")
tell_where()
