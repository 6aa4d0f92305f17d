"""Linear mixed models in JAX: lme4's models, fitted in a line, in batches, or inside your own program."""

from typing import TYPE_CHECKING

from . import core as core, datasets as datasets, plots as plots
from .core import Iterative as Iterative
from .frame._bootstrap import Bootstrap as Bootstrap
from .frame._compare import anova as anova
from .frame._errors import (
    AliasedColumnsWarning as AliasedColumnsWarning,
    ConvergenceWarning as ConvergenceWarning,
    DataError as DataError,
    DroppedRowsWarning as DroppedRowsWarning,
    FormulaError as FormulaError,
    InterruptedWarning as InterruptedWarning,
    JaxmixedWarning as JaxmixedWarning,
    RefitWarning as RefitWarning,
    SingularClusterWarning as SingularClusterWarning,
    SingularFitWarning as SingularFitWarning,
)
from .frame._fit_by import fit_by as fit_by
from .frame._fit_many import fit_many as fit_many
from .frame._influence import Influence as Influence
from .frame._lm import LmResult as LmResult, lm as lm
from .frame._lm_by import LmByResult as LmByResult, lm_by as lm_by
from .frame._make_design import between as between, make_design as make_design, nested as nested
from .frame._many import FitMany as FitMany
from .frame._model import lmer as lmer
from .frame._power import power as power
from .frame._power_curve import PowerCurve as PowerCurve, power_curve as power_curve
from .frame._profile import Profile as Profile
from .frame._result import LmerResult as LmerResult
from .frame._saved import SavedFits as SavedFits
from .frame._scenario import Scenario as Scenario, scenario as scenario
from .frame._side_by_side import Comparison as Comparison, compare as compare
from .frame._simulate_study import Study as Study, simulate_study as simulate_study
from .frame._term_tests import WaldTest as WaldTest

if TYPE_CHECKING:
    from .frame._sklearn import MixedRegressor as MixedRegressor
else:

    def __getattr__(name: str) -> object:
        """Import what needs scikit-learn when it is asked for."""
        if name == "MixedRegressor":
            from .frame._sklearn import MixedRegressor

            return MixedRegressor
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__version__ = "0.1.0"
