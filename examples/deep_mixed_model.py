"""A neural network for the mean, random intercepts and slopes for two thousand clusters.

Run it whole, or cell by cell in an editor that knows `# %%`.
"""

# %% [markdown]
# # Deep mixed models
#
# Data with many clusters, patients or stores say, few rows in each. A network that ignores the clusters
# leaves much of what can be predicted on the table; one that gets them as 2,000 indicator columns learns
# 2,000 weights from four rows each. Simchoni & Rosset (2021, NeurIPS 34) let a network give the mean and let
# random effects have the clusters: y = f(x) + a_g + b_g t + e, trained by the marginal likelihood. By the
# sufficient statistics of `core` the likelihood is exact, its cost grows in proportion to the rows, and its
# gradient in the weights of the network is one reverse pass.

# %%
import functools

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
import pandas as pd
from _page import heading, save, show, tell_where

from jaxmixed import core

CLUSTERS, ROWS, INPUTS, HIDDEN, STEPS = 2000, 8, 5, 32, 600
rng = np.random.default_rng(7)


def curve(x):
    return 2 * np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] + np.abs(x[:, 3]) - 1


cluster = np.repeat(np.arange(CLUSTERS), ROWS).astype(np.int32)
x = rng.normal(size=(len(cluster), INPUTS)).astype(np.float32)
t = rng.uniform(-1, 1, size=len(cluster)).astype(np.float32)
effects = rng.multivariate_normal([0, 0], [[1.5, 0.4], [0.4, 1.0]], CLUSTERS)
y = curve(x) + effects[cluster, 0] + effects[cluster, 1] * t + rng.normal(size=len(cluster))
y = y.astype(np.float32)
part = np.tile(np.repeat([0, 1, 2], [4, 2, 2]), CLUSTERS)  # of each cluster: to learn, to stop, to test
learn, stop, test = (np.flatnonzero(part == i) for i in range(3))

# %% [markdown]
# ## One network, three ways
#
# Two hidden layers. `inputs` are x and t; for indicators, each cluster has a weight vector of its own in the
# first layer, which is what 2,000 more columns would be.


# %%
def network(key, indicators: bool):
    sizes = (INPUTS + 1, HIDDEN, HIDDEN, 1)
    keys = jax.random.split(key, 3)
    layers = [
        (jax.random.normal(k, (a, b)) * np.sqrt(2 / a), jnp.zeros(b))
        for k, a, b in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]
    return {"layers": layers} | ({"clusters": jnp.zeros((CLUSTERS, HIDDEN))} if indicators else {})


def mean(net, rows):
    h = jnp.column_stack([x[rows], t[rows]])
    for i, (weights, bias) in enumerate(net["layers"]):
        h = h @ weights + bias
        if i == 0 and "clusters" in net:
            h = h + net["clusters"][cluster[rows]]
        h = jax.nn.relu(h) if i < 2 else h
    return h[:, 0]


def term(rows):
    z = np.column_stack([np.ones(len(rows), np.float32), t[rows]])
    return core.RandomTerm(z, cluster[rows], CLUSTERS, (2,))


def statistics(net):
    """The learning rows, the network as an offset: an intercept is all that is left of X."""
    design = core.Design(
        y[learn], np.ones((len(learn), 1), np.float32), (term(learn),), None, mean(net, learn)
    )
    return core.suffstats(design)


def squared_error(params):
    return ((y[learn] - mean(params["net"], learn)) ** 2).mean()


def marginal_likelihood(params):
    """-2 log likelihood a row, sigma and the intercept profiled out; exact."""
    return core.criterion(params["theta"], statistics(params["net"]), reml=False) / len(learn)


def by_network(params, rows):
    return mean(params["net"], rows)


def with_effects(params, rows):
    """The network, and the best linear unbiased predictions of the clusters' effects."""
    net = params["net"]
    one = np.ones((len(rows), 1), np.float32)
    return core.predict(params["theta"], statistics(net), one, (term(rows),), mean(net, rows))


# %%
@functools.partial(jax.jit, static_argnums=(0, 1))
def train(loss, predict, params):
    """Adam; the parameters with the least error on the stopping rows are kept."""
    optimiser = optax.adam(optax.cosine_decay_schedule(0.01, STEPS))

    def step(carry, i):
        params, state, best, least = carry
        updates, state = optimiser.update(jax.grad(loss)(params), state)
        params = optax.apply_updates(params, updates)
        error = jax.lax.cond(i % 20 == 19, validate, lambda params: jnp.inf, params)
        best = jax.tree.map(lambda a, b: jnp.where(error < least, a, b), params, best)
        return (params, state, best, jnp.minimum(least, error)), error

    def validate(params):
        return ((y[stop] - predict(params, stop)) ** 2).mean()

    start = params, optimiser.init(params), params, jnp.inf
    (_, _, best, _), errors = jax.lax.scan(step, start, jnp.arange(STEPS))
    return best, errors[19::20], ((y[test] - predict(best, test)) ** 2).mean()


key, ways = jax.random.key(0), {}
start = jnp.array([0.5, 0.0, 0.5])
ways["clusters ignored"] = train(squared_error, by_network, {"net": network(key, False)})
ways["cluster indicators"] = train(squared_error, by_network, {"net": network(key, True)})
ways["random effects"] = train(
    marginal_likelihood, with_effects, {"net": network(key, False), "theta": start}
)

# %%
heading(f"Squared error on {len(test)} rows not used, of {CLUSTERS} clusters")
errors = {name: float(error) for name, (_, _, error) in ways.items()}
table = pd.DataFrame({"test_error": errors})
table["above_noise"] = table["test_error"] - 1
show(table)

best = ways["random effects"][0]
found = statistics(best["net"])
sigma = core.estimates(best["theta"], found, reml=False).sigma
variances = core.psi(best["theta"], sigma, found)
heading("Variances of the clusters' effects and of the noise, and those that made the data")
names = ["intercept", "covariance", "slope", "noise"]
show(pd.DataFrame({"estimate": np.asarray(variances), "truth": [1.5, 0.4, 1.0, 1.0]}, index=names))

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name, (_, path, _) in ways.items():
    ax.plot(20 * (1 + np.arange(len(path))), path, label=name)
ax.set(xlabel="step", ylabel="squared error on the stopping rows", ylim=(1, 5))
ax.legend()
save(ax, "deep_mixed_model")

# %%
heading("What this shows")
ignored, indicators, random = errors.values()
print(f"The same network has a test error of {ignored:.2f} when it ignores the clusters, {indicators:.2f}")
print(f"with an indicator for each, and {random:.2f} with random intercepts and slopes, trained by the exact")
print("marginal likelihood; the noise alone is 1.")
tell_where()
