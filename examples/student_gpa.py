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
from _page import heading, save, show, tell_where

import jaxmixed as jm

# %% [markdown]
# ## Data
#
# Where the study cannot be fetched, 200 students are drawn from estimates of it: a mean of 2.599 that rises
# by 0.106 an occasion, both differing from student to student, a little lower for men and higher for those
# who did well at school. Estimates from the drawn grades come close to these figures and do not repeat them.


# %%
def simulated_grades(seed: int = 20) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    student, occasion = np.divmod(np.arange(200 * 6), 6)
    male, school = np.arange(200) % 2, random.uniform(2, 4, 200)
    level = random.normal(0, 0.20, 200) - 0.16 * (male - 0.5) + 0.09 * (school - 3)
    growth = random.normal(0, 0.067, 200)
    noise = random.normal(0, 0.206, 200 * 6)
    gpa = 2.599 + level[student] + (0.106 + growth[student]) * occasion + noise
    sex = np.where(male, "male", "female")[student]
    columns = {
        "student": student + 1,
        "occasion": occasion,
        "gpa": gpa,
        "sex": sex,
        "highgpa": school[student],
    }
    return pd.DataFrame(columns)


heading("Data")
try:
    grades = jm.datasets.load("gpa")
except jm.datasets.DatasetError:
    print(
        "The student study is not in reach (no network, no cached copy, no file gpa.csv in the folder\n"
        "JAXMIXED_DATA), so that all numbers below come from grades simulated from its published estimates.\n"
    )
    grades = simulated_grades()
print(f"{len(grades)} grades of {grades['student'].nunique()} students; the first student's:\n")
show(grades.loc[grades["student"] == grades["student"].iloc[0], ["student", "occasion", "gpa"]], 2)

# %% [markdown]
# Pictures are drawn from a fitted model, which knows who is who; this one is explained further down. Every
# path is a student. Ten of them stand out, taken evenly from the weakest to the strongest.

# %%
fit = jm.lmer("gpa ~ occasion + (1 | student)", grades)
save(jm.plots.trajectories(fit, bold=10), "students")

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
print(f"Intraclass correlation {fit.icc()['adjusted']:.3f}.")

# %% [markdown]
# ## Lines of their own
#
# Students may also differ in how fast they improve. The model of that has a slope for each of them, and
# shows what partial pooling does to two hundred regressions: each line is drawn towards the common one, the
# more, the less its own six grades say. What is drawn in is mostly noise: the separate lines differ more
# than the students do.

# %%
heading("A line for each student: gpa ~ occasion + (occasion | student)")
growth = jm.lmer("gpa ~ occasion + (occasion | student)", grades)
print(growth.summary())
lines = growth.coef().pivot(index="group", columns="effect", values="value")[["Intercept", "occasion"]]
estimated = growth.varcorr().query("group == 'student' and term2.isna()").set_index("term")["sd"]
print("\nStandard deviations of the students' lines:\n")
show(
    pd.DataFrame(
        {
            "regressions, one by one": separate.params.std(),
            "estimated for the students": estimated,
            "predicted by the mixed model": lines.std(),
        }
    )
)
save(jm.plots.shrinkage(growth), "student_shrinkage")
print("\nThis model against the one without slopes that differ, by likelihood ratio:\n")
show(growth.ranova()[["term", "llf", "statistic", "df", "p_value"]])

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
# All students in order, those in bold whose interval leaves out zero; and whether the effects look like
# draws from a normal distribution, as the model takes them to be.

# %%
save(jm.plots.caterpillar(fit), "student_effects")
save(jm.plots.ranef_density(fit), "student_effects_density")
save(jm.plots.ranef_qq(fit), "student_effects_quantiles")

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
profile = fit.profile()
show(profile.conf_int())
save(jm.plots.profile_zeta(profile), "student_profiles")
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

print("\nWith random effects (conditional) and without (marginal), for students spread over the study:\n")
save(jm.plots.predictions(fit), "student_predictions")

new = rows.tail(1).assign(student="somebody new")
print("A student who was not in the study gets the marginal prediction, if asked for by name:")
print(f"{fit.predict(new, new_levels='population').iloc[0]:.3f}")

# %% [markdown]
# ## What is known of the students
#
# Sex and the grade at high school are the same on all occasions: they say something about the student, not
# about the grade. They can explain variance between students, and none within.

# %%
heading("With sex and high-school grade")
known = jm.lmer("gpa ~ occasion + sex + highgpa + (1 | student)", grades)
show(known.tidy("fixed").drop(columns=["effect", "group", "level"]).set_index("term"))
names = ["between students", "within students"]
both = {"without": variances["variance"].to_numpy(), "with": known.varcorr()["variance"].to_numpy()}
table = pd.DataFrame(both, index=names)
show(table.assign(explained=1 - table["with"] / table["without"]), 4)
print(f"Intraclass correlation {fit.icc()['adjusted']:.3f} without, {known.icc()['adjusted']:.3f} with.")
models = {"regression": pooled, "mixed": fit, "mixed, with covariates": known}
save(jm.plots.coefficients(models), "student_coefficients")

# %% [markdown]
# ## Residuals
#
# Last, what is left over: no trend over the fitted grades, much the same spread everywhere, and tails not far
# from normal ones. Grades are recorded to a tenth, hence the stripes.

# %%
heading("Residuals")
save(jm.plots.diagnostics(growth), "student_residuals")
tell_where()
