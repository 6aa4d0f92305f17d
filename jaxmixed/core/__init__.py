from ._covariance import relative_factor as relative_factor
from ._criterion import criterion as criterion, estimates as estimates
from ._design import Design as Design, RandomTerm as RandomTerm
from ._suffstats import SuffStats as SuffStats, compress as compress, suffstats as suffstats
from ._fit import Fit as Fit, fit as fit
from ._newton import RESULTS as RESULTS
from ._ranef import RandomEffects as RandomEffects, ranef as ranef, ranef_modes as ranef_modes
