"""Linear mixed models as pure functions of arrays: jit, vmap and differentiate them at will.

    Design -> suffstats -> SuffStats -> criterion, fit -> estimates, vcov, ranef, predict
                                        |              -> satterthwaite, kenward_roger, profile_point
                                        loglik         -> row_influence, group_influence
                                        simulate_stats -> SuffStats, fit_batch

Every step is differentiable in the numbers of the design, the fit included; grouping codes are integers and
concrete. Arrays keep the dtype they come with; nothing here reads column names or changes JAX's
configuration.
"""

from ._assemble import (
    assemble as assemble,
    assemble_many as assemble_many,
    compress as compress,
    plan as plan,
    suffstats as suffstats,
)
from ._batch import fit_batch as fit_batch, fit_made as fit_made, nothing as nothing
from ._cells import (
    CellSums as CellSums,
    Coordinates as Coordinates,
    conditioning as conditioning,
    coordinates as coordinates,
    dependent_columns as dependent_columns,
    refine as refine,
)
from ._conditioning import Conditioned as Conditioned, condition as condition
from ._constraint import Constraint as Constraint, constraints as constraints
from ._covariance import relative_factor as relative_factor, relative_factors as relative_factors
from ._criterion import (
    Estimates as Estimates,
    criterion as criterion,
    estimates as estimates,
    vcov as vcov,
)
from ._crossed import Crossed as Crossed
from ._curvature import Information as Information, curvature as curvature, information as information
from ._design import Design as Design, RandomTerm as RandomTerm, Totals as Totals
from ._distributions import f_pvalue as f_pvalue, t_pvalue as t_pvalue
from ._effective_df import EffectiveDf as EffectiveDf, effective_df as effective_df
from ._fit import Fit as Fit, fit as fit
from ._implicit import as_minimum as as_minimum
from ._inference import (
    VarianceParameters as VarianceParameters,
    kenward_roger as kenward_roger,
    satterthwaite as satterthwaite,
    variance_parameters as variance_parameters,
    wald as wald,
)
from ._influence import (
    Influence as Influence,
    SmallestSet as SmallestSet,
    group_influence as group_influence,
    row_influence as row_influence,
    row_weighted as row_weighted,
    smallest_set as smallest_set,
)
from ._iterative import AnyCrossed as AnyCrossed, IterativeCrossed as IterativeCrossed
from ._lanes import numbers_in as numbers_in
from ._leave_out import (
    Refit as Refit,
    deletions as deletions,
    rank_deficient as rank_deficient,
    refit as refit,
    without as without,
)
from ._loglik import loglik as loglik, psi as psi
from ._monte_carlo import MonteCarlo as MonteCarlo, monte_carlo as monte_carlo
from ._nested import Nested as Nested, NestedPatterns as NestedPatterns
from ._newton import RESULTS as RESULTS
from ._optimal_design import contrast_variance as contrast_variance, wald_power as wald_power
from ._plan import Plan as Plan
from ._predict import RowEffects as RowEffects, predict as predict
from ._processes import over_processes as over_processes, own_devices as own_devices
from ._profile import AT_END as AT_END, FOUND as FOUND, Point as Point, profile_point as profile_point
from ._random import fold_in as fold_in
from ._ranef import RandomEffects as RandomEffects, ranef as ranef, ranef_modes as ranef_modes
from ._recipe import Recipe as Recipe, given as given
from ._reference import (
    FTest as FTest,
    Reference as Reference,
    TTest as TTest,
    UncertainVariances as UncertainVariances,
)
from ._resample import Reflated as Reflated, reflate as reflate, resample as resample, turn_over as turn_over
from ._reweight import Clusters as Clusters, clusters as clusters, draw_weights as draw_weights
from ._row_variance import (
    RowPrediction as RowPrediction,
    prior_variance as prior_variance,
    row_prediction as row_prediction,
    row_variance as row_variance,
)
from ._sandwich import (
    Sandwich as Sandwich,
    SandwichKind as SandwichKind,
    sandwich as sandwich,
    sandwich_df as sandwich_df,
)
from ._simulate import simulate as simulate
from ._simulate_stats import (
    Sampler as Sampler,
    draw as draw,
    sampler as sampler,
    simulate_stats as simulate_stats,
)
from ._solver import Iterative as Iterative, Solver as Solver
from ._stack import Stack as Stack, stack as stack
from ._strata import Strata as Strata
from ._structure import Curvature as Curvature
from ._suffstats import SuffStats as SuffStats, conditioned_factors as conditioned_factors
from ._variance_scales import (
    Scale as Scale,
    Scaled as Scaled,
    on_scale as on_scale,
    standard_deviations as standard_deviations,
    variance_positions as variance_positions,
)
from ._whitened_families import Families as Families, families_of as families_of
