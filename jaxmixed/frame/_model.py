"""`lmer`: from a formula and a data frame to a fitted model."""

from collections.abc import Mapping
from typing import Any

import jax

from jaxmixed import core

from ._check import check_reml
from ._data import model_frame
from ._errors import DataError
from ._result import LmerResult, fit_response
from ._stream import stream_frame
from ._stream_open import open_stream


def lmer(
    formula: str,
    data: Any,
    reml: bool = True,
    weights: Any = None,
    offset: Any = None,
    context: Mapping[str, Any] | None = None,
    solver: core.Solver = "auto",
) -> LmerResult:
    """Fit a linear mixed model by restricted maximum likelihood (REML) or maximum likelihood.

        y = X beta + Z b + offset + e,   b ~ N(0, sigma^2 Lambda Lambda'),   e ~ N(0, sigma^2 / w)

    Parameters
    ----------
    formula
        lme4's language, such as `"gpa ~ occasion + (1 | student)"`. A formula is Python code: never
        accept one from a stranger.
    data
        A pandas or polars frame; or rows that are read in batches, twice, and never all held in memory: the
        name of a parquet file or of a folder of them, a pyarrow data set, a DuckDB relation, a Dask data
        frame, a list of Arrow record batches, or a function that returns an iterator of them. Rows with
        missing values in any variable used are dropped, with a warning.
    reml
        Restricted likelihood (default) or likelihood.
    weights
        Prior weights: a column name, or one positive number a row (a Series must have the frame's index).
    offset
        Known part of the mean: a column name, or one number a row.
    context
        Further variables and functions that the formula uses.
    solver
        How crossed grouping factors are solved for. `"direct"` factors a dense matrix over the levels of all
        factors but the largest. `"iterative"` forms no such matrix; its estimates have a Monte Carlo error,
        which the summary and `monte_carlo` report. `jm.Iterative(probes=..., seed=...)` sets its options.
        `"auto"` is direct up to 10,000 such levels.

    Returns
    -------
    LmerResult
        Estimates, tables and predictions. Of rows read in batches only sums are kept, so that what asks for
        single rows (`fittedvalues`, `resid`, `augment`, `simulate`, `refit`, `influence`, the bootstraps by
        resampling, robust covariances) is an error that says so; `predict(newdata)` does not.

    Raises
    ------
    FormulaError, DataError
        Both are `ValueError`: what was found, what was expected, what to do.

    Warns
    -----
    DroppedRowsWarning, AliasedColumnsWarning, SingularFitWarning, ConvergenceWarning

    References
    ----------
    Bates, Maechler, Bolker & Walker (2015), Fitting linear mixed-effects models using lme4,
    doi:10.18637/jss.v067.i01.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> fit = jm.lmer("Reaction ~ Days + (Days | Subject)", jm.datasets.load("sleepstudy"))
    >>> fit.params.round(3)
    Intercept    251.405
    Days          10.467
    Name: estimate, dtype: float64

    Rows that come in batches, here of 50, are read twice and not kept:

    >>> import pyarrow as pa
    >>> batches = pa.Table.from_pandas(jm.datasets.load("sleepstudy")).to_batches(max_chunksize=50)
    >>> same = jm.lmer("Reaction ~ Days + (Days | Subject)", batches)
    >>> abs(same.criterion - fit.criterion) < 1e-9
    True
    """
    check_reml(reml)
    stream = open_stream(data)
    if stream is None:
        frame = model_frame(formula, data, weights, offset, context)
    else:
        frame = stream_frame(formula, stream, weights, offset, context)
    for array in jax.tree.leaves(frame.design):
        array.setflags(write=False)
    conditioned = core.condition(frame.design)
    try:
        plan = core.plan(conditioned, solver)
    except ValueError as error:
        raise DataError(str(error)) from None
    return fit_response(frame, frame.design.y, conditioned, plan, reml, offset)
