"""Growth of children's jaws: lines that differ from child to child, and between girls and boys.

Run it whole, or cell by cell in an editor that knows `# %%`.
"""

# %% [markdown]
# # Growth curves and cross-level interactions
#
# The distance from the pituitary to the pterygomaxillary fissure, in millimetres, was measured in 11 girls
# and 16 boys at the ages 8, 10, 12 and 14 (Potthoff & Roy 1964). Age is a matter of the row, sex of the
# child: whether boys grow faster is an interaction across the two levels.

# %%
import pandas as pd
from _page import heading, save, show, tell_where

import jaxmixed as jm

# %% [markdown]
# Age is counted from 11, the middle of the study. Then an intercept is the distance in the middle, where it
# is well known, and not at birth, where no child was measured.

# %%
orthodont = jm.datasets.load("Orthodont")
orthodont["years"] = orthodont["age"] - 11
heading("Mean distance by sex and age")
show(orthodont.pivot_table("distance", "Sex", "age", observed=True), 2)

# %% [markdown]
# ## Lines that differ from child to child

# %%
heading("Without sex: distance ~ years + (years | Subject)")
plain = jm.lmer("distance ~ years + (years | Subject)", orthodont)
print(plain.summary())
save(jm.plots.trajectories(plain, bold=6), "orthodont_children")

# %% [markdown]
# ## What sex explains
#
# Sex may move the level of a child's line, `Sex`, and its slope, `years:Sex`.

# %%
heading("With sex: distance ~ years * Sex + (years | Subject)")
crossed = jm.lmer("distance ~ years * Sex + (years | Subject)", orthodont)
print(crossed.summary("kenward-roger"))

# %% [markdown]
# The variances of levels and slopes between children, before and after: what has gone is what sex explains.
# The residual variance is a matter of single measurements, and stays.

# %%
heading("Variances without sex and with it")
models = {"without": plain, "with": crossed}
parts = {name: fit.varcorr().query("term2.isna()")["variance"].to_numpy() for name, fit in models.items()}
table = pd.DataFrame(parts, index=["level", "slope", "residual"])
show(table.assign(explained=1 - table["with"] / table["without"]))

# %% [markdown]
# ## The lines of girls and boys
#
# Any line or difference of lines is a sum of coefficients, and is tested as such.

# %%
heading("Growth by sex, in millimetres a year, and the difference at both ends of the study")
questions = {
    "boys, a year": "years",
    "girls, a year": "years + years:Sex[T.Female]",
    "girls less boys, a year": "years:Sex[T.Female]",
    "girls less boys at 8": "Sex[T.Female] - 3*years:Sex[T.Female]",
    "girls less boys at 14": "Sex[T.Female] + 3*years:Sex[T.Female]",
}
tests = crossed.wald_test(", ".join(questions.values()), ddf="kenward-roger").table
show(tests.set_axis(questions, axis=0).drop(columns="null_value"))
print("Children, some of either sex, with their own lines (solid) and that of their sex (dashed):\n")
some = ["M01", "M04", "M10", "M13", "F01", "F04", "F10", "F11"]
save(jm.plots.predictions(crossed, "years", levels=some), "orthodont_predictions")
save(jm.plots.shrinkage(plain), "orthodont_shrinkage")
save(jm.plots.coefficients({"without sex": plain, "with sex": crossed}), "orthodont_coefficients")

# %% [markdown]
# ## A child that does not fit
#
# Leaving out one child after the other shows on whom the answer rests; the residuals by child show who is
# measured less well.

# %%
heading("Influence and residuals")
found = crossed.influence()
moved = found.dfbetas["years:Sex[T.Female]"].abs().idxmax()
print(f"The interaction moves most without the child {moved}.\n")
save(jm.plots.influence(found), "orthodont_influence")
save(jm.plots.diagnostics(crossed), "orthodont_residuals")
tell_where()
