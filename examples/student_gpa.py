"""Grades of 200 students on six occasions: one regression, two hundred regressions, one mixed model.

Run it whole, or cell by cell in an editor that knows `# %%`. The data are fetched once; without a
network the same story is told with simulated grades.
"""

# %% [markdown]
# # The growth of grades
#
# The grade point average (0 to 4) of each student was recorded in six consecutive semesters. How fast
# do grades rise, and how much do students differ?

# %%
import numpy as np
import pandas as pd

import jaxmixed as jm

WIDTH = 100
pd.set_option("display.width", WIDTH)


def heading(text: str) -> None:
    print(f"\n{'=' * WIDTH}\n{text}\n{'=' * WIDTH}\n")


def show(table: pd.DataFrame, decimals: int = 3) -> None:
    print(table.to_string(float_format=f"{{:.{decimals}f}}".format, na_rep=""), "\n")


# %% [markdown]
# ## Data
#
# Where the study cannot be fetched, 200 students are drawn from its published estimates: a mean of
# 2.599 that rises by 0.106 an occasion, variance 0.064 between and 0.058 within students. Estimates
# from the drawn grades come close to these figures and do not repeat them.


# %%
def simulated_grades(seed: int = 20) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    student, occasion = np.divmod(np.arange(200 * 6), 6)
    effect = random.normal(0, np.sqrt(0.064), 200)
    noise = random.normal(0, np.sqrt(0.058), 200 * 6)
    gpa = 2.599 + 0.106 * occasion + effect[student] + noise
    return pd.DataFrame({"student": student + 1, "occasion": occasion, "gpa": gpa})


heading("Data")
try:
    grades = jm.datasets.load("gpa")
except jm.datasets.DatasetError:
    print(
        "The student study is not in reach (no network, no cached copy, no file gpa.csv in the folder\n"
        "JAXMIXED_DATA), so that all figures below come from grades simulated from its published estimates.\n"
    )
    grades = simulated_grades()
print(f"{len(grades)} grades of {grades['student'].nunique()} students; the first student's:\n")
show(grades.loc[grades["student"] == grades["student"].iloc[0], ["student", "occasion", "gpa"]], 2)

# %% [markdown]
# ## One regression for everyone
#
# Complete pooling treats 1200 grades as 1200 students. What the grades of one student have in common
# is left in the residual, which is too large for the slope and too small for the intercept.

# %%
heading("One regression for everyone: gpa ~ occasion")
pooled = jm.lm("gpa ~ occasion", grades)
show(pd.DataFrame({"estimate": pooled.params, "std_error": pooled.bse, "t": pooled.tvalues}))
print(f"Residual standard deviation {pooled.sigma:.4f}, R2 {pooled.rsquared:.4f}")

# %% [markdown]
# ## A regression for each student
#
# No pooling: six grades, two coefficients, two hundred times, in one batched call. Each is honest and
# none is precise.

# %%
heading("A regression for each student")
separate = jm.lm_by("gpa ~ occasion", grades, by="student")
spread = separate.params.describe().loc[["count", "mean", "std", "min", "25%", "50%", "75%", "max"]]
show(spread.T.assign(count=lambda table: table["count"].astype(int)))
falling = (separate.params["occasion"] < 0).mean()
print(f"Typical standard errors: {', '.join(f'{n} {v:.3f}' for n, v in separate.bse.median().items())}.")
print(f"Grades fall for {falling:.1%} of the students, taken one by one.")

# %% [markdown]
# ## The mixed model
#
# Partial pooling: one line for all, and for each student a deviation from it, drawn from a normal
# distribution whose variance is estimated.

# %%
heading("The mixed model: gpa ~ occasion + (1 | student)")
fit = jm.lmer("gpa ~ occasion + (1 | student)", grades)
print(fit.summary())

# %%
heading("Fixed effects, beside those of the one regression")
comparison = {
    ("regression", "estimate"): pooled.params,
    ("regression", "std_error"): pooled.bse,
    ("mixed model", "estimate"): fit.params,
    ("mixed model", "std_error"): fit.bse,
}
show(pd.DataFrame(comparison))
print("The lines are the same. The intercept, a comparison between students, is less certain than the")
print("regression says; the slope, a comparison within students, is more certain.")

# %% [markdown]
# The share of variance that lies between students is also the correlation of two grades of the same
# student, given the occasion.

# %%
heading("Variance between and within students")
variances = fit.varcorr()
show(variances[["group", "term", "variance", "sd", "var_prop"]])

# %% [markdown]
# ## Students
#
# The effect of a student is the mean of his residuals from the common line, drawn towards zero: with m
# grades each, by the factor m v / (m v + s), where v is the variance between and s that within
# students.

# %%
heading("Effects of the first five students")
effects = fit.ranef()
show(effects[["group", "value", "se", "lower", "upper"]].head())
between, within = variances["variance"]
occasions = grades["occasion"].nunique()
shrinkage = occasions * between / (occasions * between + within)
means = (grades["gpa"] - fit.predict(re="marginal")).groupby(grades["student"]).mean()
print(f"Mean residual of each, times {shrinkage:.3f}:", *(f"{v:.3f}" for v in shrinkage * means.head()))

# %% [markdown]
# A student's own intercept adds the common one. Published tables were made by adding figures already
# rounded to three decimals, 2.599 + 0.030 = 2.629 for the fifth student; added first and rounded
# afterwards the last digit can differ.

# %%
heading("Intercepts of the first five students")
own = fit.coef().query("effect == 'Intercept'")[["group", "value", "se"]].head()
intercept, intercept_se = fit.params.round(3)["Intercept"], fit.bse.round(3)["Intercept"]
rounded = effects.head().round(3)
from_rounded = pd.DataFrame(
    {
        "group": rounded["group"],
        "value": intercept + rounded["value"],
        "se": np.hypot(intercept_se, rounded["se"]),
    }
)
print("Sums of figures rounded to three decimals, as published:")
show(from_rounded)
print("Sums of exact figures, fit.coef():")
show(own)

# %% [markdown]
# ## Intervals
#
# Profile intervals hold every value of a parameter that a likelihood ratio test would not reject; they
# need no standard error, and suit standard deviations too. For the line, t intervals with Satterthwaite's
# degrees of freedom come to the same.

# %%
heading("95% profile intervals")
show(fit.conf_int(method="profile", parm="all"))
heading("Tests of the common line")
show(fit.tidy("fixed").drop(columns=["effect", "group", "level"]).set_index("term"))
clear = (effects["lower"] > 0) | (effects["upper"] < 0)
print(f"{clear.sum()} of {len(effects)} students differ from the average by more than their interval.")

# %% [markdown]
# ## Predictions
#
# A marginal prediction is for a student of whom nothing is known, a conditional one for a student in
# the study. Both can be had for occasions nobody has reached.

# %%
heading("Marginal predictions of the first rows")
print(*(f"{v:.6f}" for v in fit.predict(re="marginal").head(3)))

heading("One student, observed and predicted, with two semesters still to come")
first = grades.loc[grades["student"] == grades["student"].iloc[0], ["student", "occasion", "gpa"]]
to_come = pd.DataFrame({"student": first["student"].iloc[0], "occasion": [6, 7]})
rows = pd.concat([first, to_come], ignore_index=True)
show(rows.assign(marginal=fit.predict(rows, re="marginal"), conditional=fit.predict(rows)))

heading("The same, with limits for the grades to come")
show(fit.predict(to_come, interval="prediction"))

new = rows.tail(1).assign(student="somebody new")
print("A student who was not in the study gets the marginal prediction, if asked for by name:")
print(f"{fit.predict(new, new_levels='population').iloc[0]:.3f}")
