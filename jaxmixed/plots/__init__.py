"""Pictures of fitted models by matplotlib: axes in, axes out, nothing global changed.

A picture of one panel takes `ax` and returns it; one of several takes `axes`, as many as it has panels, and
returns them in an array. Without axes it makes a figure. What a picture shows is a frame that the result
gives too; the docstring names it. Arguments that cannot be drawn raise `DataError`.
"""

from ._bootstrap import bootstrap_density as bootstrap_density
from ._coefficients import coefficients as coefficients
from ._influence import influence as influence
from ._power import power_curve as power_curve
from ._predictions import predictions as predictions
from ._profile import profile_pairs as profile_pairs, profile_zeta as profile_zeta
from ._random_effects import (
    caterpillar as caterpillar,
    ranef_density as ranef_density,
    ranef_qq as ranef_qq,
)
from ._residuals import (
    diagnostics as diagnostics,
    resid_by_group as resid_by_group,
    resid_fitted as resid_fitted,
    resid_qq as resid_qq,
    scale_location as scale_location,
)
from ._shrinkage import shrinkage as shrinkage
from ._trajectories import trajectories as trajectories
