"""Groups within groups: casks of paste within batches, and cakes baked within replicates.

Run it whole, or cell by cell in an editor that knows `# %%`.
"""

# %% [markdown]
# # Nested groups
#
# A chemical paste is delivered in batches. Of each of ten batches three casks were sampled at random, and
# each cask was assayed twice (Davies & Goldsmith 1972). Where does the variation in strength come from:
# batches, casks of one batch, or the assay?

# %%
import matplotlib.pyplot as plt
import pandas as pd
from _page import heading, save, show, tell_where

import jaxmixed as jm

pastes = jm.datasets.load("Pastes")
heading("Pastes: strength ~ 1 + (1 | batch/cask)")
show(pastes.head(6), 1)

# %% [markdown]
# `batch/cask` stands for a batch and the casks inside it: cask a of batch A has nothing to do with cask a of
# batch B. The same is written `(1 | batch) + (1 | batch:cask)`, or `(1 | batch) + (1 | sample)`, where the
# casks have labels of their own.

# %%
fit = jm.lmer("strength ~ 1 + (1 | batch/cask)", pastes)
print(fit.summary())
same = jm.lmer("strength ~ 1 + (1 | batch) + (1 | sample)", pastes)
print(f"\nWritten the other way, the criterion differs by {abs(same.criterion - fit.criterion):.1e}.")

# %% [markdown]
# Casks of one batch differ far more than batches, and assays of one cask hardly at all. Is there anything
# left for the batches? The likelihood ratio says: not clearly.

# %%
heading("Are batches needed, or casks?")
show(fit.ranova()[["term", "llf", "statistic", "df", "p_value"]])
show(fit.conf_int(method="profile", parm="all"))
figure, axes = plt.subplots(1, 2, figsize=(9, 5.5), layout="constrained")
jm.plots.caterpillar(fit, "batch", ax=axes[0])
jm.plots.caterpillar(fit, "cask:batch", ax=axes[1])
save(axes, "pastes_effects")

# %% [markdown]
# ## A split plot
#
# Three recipes of chocolate cake were each mixed fifteen times. A mix was divided into six cakes, baked at
# six temperatures; what was measured is the angle at which the cake broke (Cook 1938). Recipes are compared
# between mixes, temperatures within them: the model has an effect of each replicate and of each recipe
# within it, the mix.

# %%
cake = jm.datasets.load("cake")
heading("Cake: angle ~ recipe * temperature + (1 | replicate/recipe)")
split = jm.lmer("angle ~ recipe * temperature + (1 | replicate/recipe)", cake)
show(split.varcorr()[["group", "term", "variance", "sd", "var_prop"]])
print("Tests of terms, with the degrees of freedom that each comparison has (Kenward & Roger):\n")
show(split.anova(ddf="kenward-roger"))

# %% [markdown]
# Recipes are tested with the 28 degrees of freedom between mixes, temperatures with those within. Ordinary
# regression has one kind of row and one number of degrees of freedom for everything. What is plain is the
# temperature, and a straight line does for it.

# %%
heading("A straight line for the temperature: angle ~ recipe + temp + (1 | replicate/recipe)")
straight = jm.lmer("angle ~ recipe + temp + (1 | replicate/recipe)", cake)
per_ten = straight.wald_test("10 * temp").table
regression = jm.lm("angle ~ recipe + temp", cake)
print("Ten degrees more:\n")
show(per_ten)
recipes = [name for name in straight.params.index if name.startswith("recipe")]
errors = {"mixed model": straight.bse[recipes], "regression": regression.bse[recipes]}
print("Standard errors of the recipes' differences:\n")
show(pd.DataFrame(errors))
save(jm.plots.trajectories(straight, "temp", "recipe:replicate"), "cake_mixes")
save(jm.plots.predictions(straight, "temp", "replicate"), "cake_predictions")
tell_where()
