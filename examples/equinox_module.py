"""A mixed model as a layer: an equinox module, and the same in plain pytrees.

Run it whole, or cell by cell in an editor that knows `# %%`.
"""

# %% [markdown]
# # A layer that knows groups
#
# The module holds a small network for the mean and theta for the random effects. Its loss is the exact
# marginal likelihood; equinox takes its gradient like that of any other module.

# %%
import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from _page import heading, save, tell_where

from jaxmixed import core

jax.config.update("jax_enable_x64", True)
rng = np.random.default_rng(3)
GROUPS, ROWS, STEPS = 60, 8, 400
codes = np.repeat(np.arange(GROUPS), ROWS).astype(np.int32)
x = rng.uniform(-2, 2, size=(len(codes), 1))
y = np.sin(2 * x[:, 0]) + rng.normal(size=GROUPS)[codes] + 0.4 * rng.normal(size=len(codes))
ones = np.ones((len(codes), 1))
term = core.RandomTerm(ones, codes, GROUPS, (1,))


def statistics(mean):
    return core.suffstats(core.Design(y, ones, (term,), None, mean))


# %%
class MixedModel(eqx.Module):
    """y = f(x) + b_g + e."""

    network: eqx.nn.MLP
    theta: jax.Array

    def mean(self, x):
        return jax.vmap(self.network)(x)[:, 0]

    def loss(self):
        return core.criterion(self.theta, statistics(self.mean(x)), reml=False)

    def predict(self, new, term):
        """Predict new rows of known groups."""
        one = np.ones((len(new), 1))
        return core.predict(self.theta, statistics(self.mean(x)), one, (term,), self.mean(new))


network = eqx.nn.MLP(1, 1, 16, 2, jax.nn.tanh, key=jax.random.key(0))
optimiser = optax.adam(0.01)


def trained(params, loss):
    """Train any pytree of arrays; return it and the losses on the way."""

    @jax.jit
    def train(params):
        def step(carry, _):
            params, state = carry
            value, gradient = jax.value_and_grad(loss)(params)
            updates, state = optimiser.update(gradient, state)
            return (optax.apply_updates(params, updates), state), value

        (params, _), values = jax.lax.scan(step, (params, optimiser.init(params)), None, STEPS)
        return params, values

    return train(params)


arrays, rest = eqx.partition(MixedModel(network, jnp.array([0.5])), eqx.is_inexact_array)
arrays, losses = trained(arrays, lambda arrays: eqx.combine(arrays, rest).loss())
model = eqx.combine(arrays, rest)

# %% [markdown]
# ## The same without a library
#
# Parameters in a dictionary, a function of them: `core` asks for no more.

# %%
layers = [(layer.weight, layer.bias) for layer in network.layers]


def mean(params, x):
    h = x
    for i, (weight, bias) in enumerate(params["layers"]):
        h = h @ weight.T + bias
        h = jnp.tanh(h) if i < len(params["layers"]) - 1 else h
    return h[:, 0]


def loss(params):
    return core.criterion(params["theta"], statistics(mean(params, x)), reml=False)


plain, plain_losses = trained({"layers": layers, "theta": jnp.array([0.5])}, loss)

# %%
grid = np.linspace(-2, 2, 200)[:, None]
shown = np.repeat([0, 1, 2], 200).astype(np.int32)
lines = model.predict(np.tile(grid, (3, 1)), core.RandomTerm(np.ones((600, 1)), shown, GROUPS, (1,)))
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for g in range(3):
    ax.plot(grid, lines[200 * g : 200 * (g + 1)], color=f"C{g}")
    ax.plot(x[codes == g], y[codes == g], "o", color=f"C{g}")
ax.set(xlabel="x", ylabel="y of three groups, and what the model predicts")
save(ax, "equinox_module")

# %%
heading("What this shows")
sigma = core.estimates(model.theta, statistics(model.mean(x)), reml=False).sigma
between = abs(model.theta[0]) * sigma
print(f"An equinox module and a dictionary of arrays train to the same loss, {losses[-1]:.3f} and")
print(f"{plain_losses[-1]:.3f}: standard deviation {between:.2f} between groups and {sigma:.2f} within,")
print("where the data were made with 1.00 and 0.40.")
tell_where()
