"""One formula and many data sets of unequal size, fitted side by side.

rows -> their model frame, or rows of the whole's where that is the same -> statistics -> a few shapes -> fits
"""

import warnings
from collections.abc import Mapping
from typing import Any

from ._batches import in_pieces
from ._check import check_bars, check_reml, row_values
from ._clusters import read_clusters
from ._data_sets import read_data_sets
from ._errors import DroppedRowsWarning
from ._formula import parse
from ._jobs import Job, Rows, fit_jobs, tabulate
from ._many import FitMany, joined_many
from ._references import Ddf, check_ddf
from ._source import open_data

AT_ONCE = 4096  # data sets


def fit_by(
    formula: str,
    data: Any,
    by: str,
    reml: bool = True,
    weights: Any = None,
    offset: Any = None,
    ddf: Ddf = "satterthwaite",
    context: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> FitMany:
    """Fit one model to each of many data sets, the rows of one frame that share a value of `by`.

    Each is fitted by itself, as `jm.lmer` would fit those rows: factors have the levels that occur there,
    columns that depend on others there are left out, transforms such as `scale` learn from these rows alone.
    Nothing is moderated or shared. Data sets of a similar size are fitted side by side.

    Parameters
    ----------
    formula
        As for `lmer`. A formula is code, evaluated as Python: never accept one from a stranger.
    data
        A pandas or polars frame. Rows with missing values in any variable used are dropped, with a warning.
    by
        Name of the column that says which data set a row belongs to.
    reml, weights, offset, context
        As for `lmer`; weights and offset for each row of `data`.
    ddf
        Method of the tests: `"satterthwaite"`, `"kenward-roger"`, `"wald"` or `"residual"`.
    progress
        Whether to show a bar, on terminals. An interrupt ends the work with a warning and keeps the data
        sets that are done.

    Returns
    -------
    FitMany
        Tables with a row for each data set, those that `lmer` would refuse included: its reason is their
        `status`. A term that a data set does not have is NaN.

    Raises
    ------
    FormulaError, DataError
        Both are `ValueError`, where no data set could be fitted: what was found, what was expected, what to
        do.

    Warns
    -----
    DroppedRowsWarning

    Examples
    --------
    >>> import jaxmixed as jm, pandas as pd
    >>> sleepstudy = jm.datasets.load("sleepstudy")
    >>> late = (sleepstudy["Days"] > 4).map({True: "late", False: "early"})
    >>> fits = jm.fit_by("Reaction ~ Days + (1 | Subject)", sleepstudy.assign(half=late), by="half")
    >>> fits.params.round(1)
           Intercept  Days
    half
    early      255.1   8.2
    late       249.0  10.9
    """
    check_reml(reml)
    check_ddf(ddf, reml)
    check_bars(parse(formula), random=True)
    source, clusters = open_data(data), read_clusters(data, by)
    w = None if weights is None else row_values(weights, "weights", source)
    given = None if offset is None else row_values(offset, "offset", source)
    sets = read_data_sets(formula, data, clusters, w, given, context)
    index = clusters.levels.rename(by)

    def work(first: int, count: int) -> FitMany:
        jobs, refused = [], {}
        for i in range(count):
            found = sets.statistics(first + i)
            if isinstance(found, str):
                refused[i] = found
            else:
                jobs.append(Job(i, *found))
        here = slice(first, first + count)
        rows = Rows(index[here], sets.nobs[here], sets.n_dropped[here], refused)
        return tabulate(rows, fit_jobs(jobs, reml, ddf), sets.names, formula, reml, ddf)

    pieces = in_pieces(work, len(index), AT_ONCE, progress, "fit")
    _warn(int(sets.n_dropped.sum()), int((clusters.codes < 0).sum()), by)
    return joined_many(pieces)


def _warn(n_dropped: int, without: int, by: str) -> None:
    said = []
    if n_dropped:
        said.append(f"{n_dropped} rows were dropped for missing values, see n_dropped")
    if without:
        said.append(f"{without} rows whose {by!r} is missing belong to no data set")
    if said:
        warnings.warn(f"{'; '.join(said)}.", DroppedRowsWarning, stacklevel=3)
