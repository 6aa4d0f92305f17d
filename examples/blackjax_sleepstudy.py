"""The marginal likelihood as a log density for BlackJAX.

Run it whole, or cell by cell in an editor that knows `# %%`. It needs `pip install "jaxmixed[examples]"`.
"""

# %% [markdown]
# # A log density is a function
#
# BlackJAX samples any JAX function. Here it is the restricted likelihood of the sleep study, which has the
# fixed effects integrated out too, as a density of four numbers: the relative covariance parameters and the
# logarithm of sigma.

# %%
import blackjax
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from _page import heading, save, show, tell_where

import jaxmixed as jm
from jaxmixed import core

jax.config.update("jax_enable_x64", True)
sleepstudy = jm.datasets.load("sleepstudy")
fit = jm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
X = np.column_stack([np.ones(180), sleepstudy["Days"]])
term = core.RandomTerm(X, sleepstudy["Subject"].factorize()[0], 18, (2,))
stats = jax.tree.map(
    jnp.asarray, core.compress(core.Design(sleepstudy["Reaction"].to_numpy(float), X, (term,)))
)
DOF = 178  # rows less fixed effects


# %% [markdown]
# `criterion` has sigma at its best value for theta. At any other, with r = (best sigma / sigma)^2, twice the
# negative log likelihood is larger by DOF (r - 1 - log r).


# %%
def log_density(position):
    """Log posterior of (theta, log sigma): wide priors, half normal for the scales of both effects."""
    theta, log_sigma = position["theta"], position["log_sigma"]
    best = core.estimates(theta, stats)
    log_r = 2 * (jnp.log(best.sigma) - log_sigma)
    likelihood = -(best.criterion + DOF * (jnp.expm1(log_r) - log_r)) / 2
    return likelihood - (theta**2 / jnp.array([8.0, 2.0, 2.0])).sum() - (log_sigma - 3) ** 2 / 8


# %%
@jax.jit
def sample(key):
    warm, draw = jax.random.split(key)
    adaptation = blackjax.window_adaptation(blackjax.nuts, log_density)
    (state, parameters), _ = adaptation.run(warm, start, 500)
    kernel = blackjax.nuts(log_density, **parameters).step

    def step(state, key):
        state, info = kernel(key, state)
        return state, (state.position, info.is_divergent)

    return jax.lax.scan(step, state, jax.random.split(draw, 3000))[1]


start = {"theta": jnp.asarray(fit.theta), "log_sigma": jnp.log(fit.sigma)}
position, divergent = sample(jax.random.key(2))
psi = jax.vmap(lambda theta, s: core.psi(theta, jnp.exp(s), stats))(position["theta"], position["log_sigma"])
a, ab, b, residual = np.asarray(psi).T
values = np.column_stack([np.sqrt(a), ab / np.sqrt(a * b), np.sqrt(b), np.sqrt(residual)])

# %%
names = ["sd(Intercept | Subject)", "cor(Intercept, Days | Subject)", "sd(Days | Subject)", "sigma"]
low, median, high = np.quantile(values, [0.025, 0.5, 0.975], axis=0)
sd = fit.varcorr()["sd"].dropna().to_numpy()
reml = [sd[0], fit.varcorr()["corr"].dropna().iloc[0], sd[1], fit.sigma]
profile = fit.conf_int(method="profile", parm="random").loc[names]
table = pd.DataFrame({"REML": reml, "posterior": median, "low": low, "high": high}, index=names)
heading("REML estimates, 95% profile intervals and posteriors")
show(table.join(profile))

figure, axes = plt.subplots(1, 4, figsize=(12, 3), layout="constrained")
for ax, name, column, estimate in zip(axes, names, values.T, reml, strict=True):
    ax.hist(column, 60, density=True, color="0.8")
    ax.axvline(estimate)
    ax.set(title=name, yticks=[])
save(axes, "blackjax_posterior")

# %%
heading("What this shows")
failed = int(divergent.sum())
print(f"NUTS on the restricted likelihood itself: {len(values)} draws of four numbers, {failed} of them")
print(f"divergent. REML's sigma is {reml[3]:.2f}, the posterior's median {median[3]:.2f}; of the standard")
print(
    f"deviation of slopes they are {reml[2]:.2f} and {median[2]:.2f}, whose posterior has the longer tail on"
)
print("the right.")
tell_where()
