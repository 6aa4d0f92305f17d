"""The marginal likelihood as a NumPyro factor: posterior, REML estimate and profile side by side.

Run it whole, or cell by cell in an editor that knows `# %%`. It needs `pip install "jaxmixed[examples]"`.
"""

# %% [markdown]
# # A posterior without 36 random effects
#
# A sampler usually draws the random effects of all 18 subjects beside the six parameters, through a funnel
# that gets narrow where a variance is small. `core.loglik` has integrated them out, exactly, and reads 180
# rows as one pattern of sufficient statistics: six dimensions, microseconds a gradient.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
from _page import heading, save, show, tell_where
from numpyro.infer import MCMC, NUTS, init_to_value

import jaxmixed as jm
from jaxmixed import core

jax.config.update("jax_enable_x64", True)
sleepstudy = jm.datasets.load("sleepstudy")
fit = jm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
X = np.column_stack([np.ones(180), sleepstudy["Days"]])
term = core.RandomTerm(X, sleepstudy["Subject"].factorize()[0], 18, (2,))
design = core.Design(sleepstudy["Reaction"].to_numpy(float), X, (term,))
stats = jax.tree.map(jnp.asarray, core.compress(design))


# %%
def model():
    beta = numpyro.sample("beta", dist.Normal(jnp.array([250.0, 0.0]), jnp.array([250.0, 50.0])).to_event(1))
    sd = numpyro.sample("sd", dist.HalfNormal(jnp.array([100.0, 50.0])).to_event(1))
    correlation = numpyro.sample("correlation", dist.Uniform(-1.0, 1.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(100.0))
    psi = jnp.stack([sd[0] ** 2, correlation * sd[0] * sd[1], sd[1] ** 2, sigma**2])
    numpyro.factor("marginal likelihood", core.loglik(beta, psi, stats))


start = {"beta": fit.params.to_numpy(), "sd": jnp.array([24.0, 6.0]), "correlation": 0.1, "sigma": 25.0}
mcmc = MCMC(
    NUTS(model, init_strategy=init_to_value(values=start)),
    num_warmup=500,
    num_samples=1500,
    num_chains=2,
    chain_method="vectorized",
    progress_bar=False,
)
mcmc.run(jax.random.key(1))
draws = mcmc.get_samples()
chains = mcmc.get_samples(group_by_chain=True)

# %% [markdown]
# The priors are wide, so that posterior and likelihood should agree, as far as 18 subjects let them: a
# posterior of a standard deviation has a long tail to the right, and its median lies above the REML estimate.

# %%
names = ["Intercept", "Days", "sd(Intercept | Subject)", "cor(Intercept, Days | Subject)"]
names += ["sd(Days | Subject)", "sigma"]


def in_order(draws):
    parts = draws["beta"], draws["sd"][..., :1], draws["correlation"][..., None], draws["sd"][..., 1:]
    return np.concatenate([*parts, draws["sigma"][..., None]], axis=-1)


samples = in_order(draws)
r_hat = [float(numpyro.diagnostics.split_gelman_rubin(c)) for c in np.moveaxis(in_order(chains), -1, 0)]
low, median, high = np.quantile(samples, [0.025, 0.5, 0.975], axis=0)
profile = fit.conf_int(method="profile", parm="all")
sd = fit.varcorr()["sd"].dropna().to_numpy()
reml = [*fit.params, sd[0], fit.varcorr()["corr"].dropna().iloc[0], sd[1], fit.sigma]
table = pd.DataFrame(
    {
        "REML": reml,
        "profile_low": profile.loc[names, "conf_low"].to_numpy(),
        "profile_high": profile.loc[names, "conf_high"].to_numpy(),
        "posterior": median,
        "low": low,
        "high": high,
        "r_hat": r_hat,
    },
    index=names,
)
heading("REML estimates with 95% profile intervals, posterior medians with 95% intervals")
show(table)

figure, axes = plt.subplots(2, 3, figsize=(10, 5.5), layout="constrained")
for ax, name, values in zip(axes.ravel(), names, samples.T, strict=True):
    ax.hist(values, 60, density=True, color="0.8")
    ax.axvline(table.loc[name, "REML"])
    for end in ("profile_low", "profile_high"):
        ax.axvline(table.loc[name, end], linestyle=":")
    ax.set(title=name, yticks=[])
save(axes, "posterior")

# %%
heading("What this shows")
inside = ((table["posterior"] > table["profile_low"]) & (table["posterior"] < table["profile_high"])).all()
where = "all lie" if inside else "do not all lie"
print(f"NUTS on six parameters, the random effects integrated out: {len(samples)} draws, largest r_hat")
print(f"{max(r_hat):.3f}. Posterior medians {where} inside the profile intervals;")
print(f"that of sd(Days) is {median[4]:.2f}, its REML estimate {reml[4]:.2f}.")
tell_where()
