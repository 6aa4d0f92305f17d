"""Linear mixed models as pure functions of arrays: jit, vmap and differentiate them at will.

    Design -> suffstats -> SuffStats -> criterion, fit -> estimates, ranef

Arrays keep the dtype they come with; nothing here reads column names or changes JAX's configuration.
"""

from ._conditioning import Conditioned as Conditioned, condition as condition
from ._covariance import relative_factor as relative_factor, relative_factors as relative_factors
from ._criterion import Estimates as Estimates, criterion as criterion, estimates as estimates
from ._crossed import Crossed as Crossed
from ._design import Design as Design, RandomTerm as RandomTerm
from ._fit import Fit as Fit, fit as fit
from ._newton import RESULTS as RESULTS
from ._ranef import RandomEffects as RandomEffects, ranef as ranef, ranef_modes as ranef_modes
from ._simulate import simulate as simulate
from ._structure import Plan as Plan
from ._suffstats import (
    SuffStats as SuffStats,
    assemble as assemble,
    compress as compress,
    conditioned_factors as conditioned_factors,
    plan as plan,
    suffstats as suffstats,
)
