"""Groups that cut across each other: samples on plates, and students who rate lecturers.

Run it whole, or cell by cell in an editor that knows `# %%`. The ratings need pyarrow, which comes with
`pip install "jaxmixed[data]"`.
"""

# %% [markdown]
# # Crossed groups
#
# Six samples of penicillin were each tried on 24 plates; what was measured is the diameter, in millimetres,
# of the zone in which bacteria do not grow (Davies & Goldsmith 1972). Every sample meets every plate: neither
# is inside the other.

# %%
import time

from _page import heading, save, show, tell_where

import jaxmixed as jm

penicillin = jm.datasets.load("Penicillin")
heading("Penicillin: diameter ~ 1 + (1 | plate) + (1 | sample)")
fit = jm.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", penicillin)
print(fit.summary())

# %% [markdown]
# Six samples say little about the variance of samples: the interval of their standard deviation is wide, and
# far from symmetric. That of the residuals rests on 144 rows.

# %%
profile = fit.profile()
print("\n95% profile intervals:\n")
show(profile.conf_int())
save(jm.plots.profile_zeta(profile), "penicillin_profiles")
save(jm.plots.caterpillar(fit, "plate"), "penicillin_plates")
save(jm.plots.caterpillar(fit, "sample"), "penicillin_samples")

# %% [markdown]
# ## Seventy thousand ratings
#
# Students of ETH Zurich rated their lectures from 1 to 5. A student (`s`) rates several lecturers, a lecturer
# (`d`) is rated by many students; lectures belong to departments (`dept`), which differ too. `service` says
# whether the lecture was held for another department.

# %%
ratings = jm.datasets.load("InstEval")
heading("InstEval: y ~ service + (1 | s) + (1 | d) + (1 | dept)")
start = time.perf_counter()
rated = jm.lmer("y ~ service + (1 | s) + (1 | d) + (1 | dept)", ratings)
seconds = time.perf_counter() - start
print(rated.summary())
print(f"\nRead, compiled and fitted in {seconds:.1f} s.")

# %% [markdown]
# `var_prop` is the share of the variance: how much two ratings agree that have only that in common. Those of
# one lecturer agree more than those of one student, and a department hardly matters beyond its lecturers.

# %%
heading("How much two ratings agree that share a student, a lecturer, a department")
parts = rated.varcorr().set_index("group")
NAMES = {"s": "student", "d": "lecturer", "dept": "department"}
show(parts[["sd", "var_prop"]].rename(NAMES))
effects = rated.ranef()
clear = (effects["lower"] > 0) | (effects["upper"] < 0)
counts = clear.groupby(effects["group_var"]).agg(levels="size", clear="sum").rename(NAMES)
print("How many there are, and for how many the 95% interval leaves out zero:\n")
show(counts)
save(jm.plots.caterpillar(rated, "d"), "ratings_lecturers")
save(jm.plots.caterpillar(rated, "dept"), "ratings_departments")
save(jm.plots.ranef_qq(rated, "d"), "ratings_lecturers_quantiles")
tell_where()
