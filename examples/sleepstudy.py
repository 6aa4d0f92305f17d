"""Reaction times without sleep: one regression, a level for each subject, a line for each subject.

Run it whole, or cell by cell in an editor that knows `# %%`.
"""

# %% [markdown]
# # Ten days without enough sleep
#
# Eighteen subjects spent three hours a night in bed; their mean reaction time, in milliseconds, was taken
# on ten days (Belenky et al. 2003). How fast do they slow down, and is it the same for everyone?

# %%
import pandas as pd
from _page import heading, save, show, tell_where

import jaxmixed as jm

sleepstudy = jm.datasets.load("sleepstudy")
heading("Data")
show(sleepstudy.groupby("Days")["Reaction"].describe()[["count", "mean", "std", "min", "max"]], 1)

# %% [markdown]
# ## One line for all
#
# Ordinary regression takes the 180 rows to be 180 subjects.

# %%
heading("One regression: Reaction ~ Days")
regression = jm.lm("Reaction ~ Days", sleepstudy)
print(regression.summary())

# %% [markdown]
# ## A level for each subject
#
# A random intercept lets subjects be faster or slower throughout. All of them slow down by the same amount.

# %%
heading("Random intercept: Reaction ~ Days + (1 | Subject)")
levels = jm.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy)
print(levels.summary())
print(f"\nShare of the variance that lies between subjects: {levels.icc()['adjusted']:.3f}.")

# %% [markdown]
# Is there a difference between subjects at all? A variance cannot be below zero, so that the usual chi-square
# distribution does not hold; that of the restricted likelihood ratio is simulated exactly.

# %%
test = levels.exact_rlrt()
print(
    f"Likelihood ratio {test.statistic:.1f} for no difference between subjects, p = {test.p_value:.4f} by "
    f"{test.n} simulations."
)

# %% [markdown]
# ## A line for each subject
#
# A random slope lets subjects slow down at their own rates.

# %%
heading("Random intercept and slope: Reaction ~ Days + (Days | Subject)")
lines = jm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
print(lines.summary())

# %%
heading("Is the slope needed?")
print("Likelihood ratio tests of the random terms:\n")
show(lines.ranova()[["term", "n_parameters", "llf", "statistic", "df", "p_value"]])
criteria = {
    name: {"AIC": fit.aic, "BIC": fit.bic, "conditional AIC": fit.caic}
    for name, fit in {"random intercept": levels, "random slope": lines}.items()
}
print("Information criteria, smaller is better:\n")
show(pd.DataFrame(criteria).T, 1)

# %% [markdown]
# The three models agree on the mean line, and not on how well it is known. The slope's standard error is
# too small where subjects are made to share it.

# %%
heading("The mean line by the three models")
models = {"regression": regression, "random intercept": levels, "random slope": lines}
errors = {name: {"Days": fit.params["Days"], "std_error": fit.bse["Days"]} for name, fit in models.items()}
show(pd.DataFrame(errors).T)
save(jm.plots.coefficients(models, ["Days"]), "sleepstudy_coefficients")

# %% [markdown]
# ## Subjects
#
# With random effects (solid) and without (dashed): what is predicted for each subject.

# %%
heading("Subjects")
save(jm.plots.predictions(lines), "sleepstudy_predictions")
save(jm.plots.shrinkage(lines), "sleepstudy_shrinkage")
save(jm.plots.caterpillar(lines, effect="Days"), "sleepstudy_slopes")
distance = lines.influence()
print(f"\nThe mean line changes most without subject {distance.cooks_distance.idxmax()}.\n")
save(jm.plots.influence(distance), "sleepstudy_influence")

# %% [markdown]
# ## How sure is all this?
#
# Profiles of the likelihood that are straight lines are as good as a standard error. Those of standard
# deviations bend, and their intervals are wider above than below. The bootstrap says so too.

# %%
heading("95% intervals")
profile = lines.profile()
boot = lines.bootstrap(2000, key=1)
show(pd.concat({"profile": profile.conf_int(), "bootstrap": boot.conf_int()}, axis=1))
save(jm.plots.profile_zeta(profile), "sleepstudy_profiles")
save(jm.plots.profile_pairs(profile), "sleepstudy_pairs")
save(jm.plots.bootstrap_density(boot), "sleepstudy_bootstrap")
save(jm.plots.diagnostics(lines), "sleepstudy_residuals")
tell_where()
