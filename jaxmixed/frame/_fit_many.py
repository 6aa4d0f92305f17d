"""One design and very many responses: genes, voxels, pixels, returns.

responses in blocks -> statistics by matrix products -> fits and tests in batches -> FitMany
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from ._batches import gathered
from ._check import check_left_side, check_mesh, check_reml
from ._data import model_frame
from ._many import FitMany, joined_many
from ._one_design import OneDesign
from ._references import Ddf, check_ddf
from ._responses import read_responses
from ._saved import SavedFits, write_parts
from ._source import open_data


def fit_many(
    formula: str,
    data: Any,
    responses: Any,
    reml: bool = True,
    weights: Any = None,
    offset: Any = None,
    ddf: Ddf = "satterthwaite",
    context: Mapping[str, Any] | None = None,
    path: str | Path | None = None,
    progress: bool = True,
    mesh: Mesh | None = None,
) -> FitMany | SavedFits:
    """Fit one model to each of many responses, all that they share computed once.

    Every response is fitted by itself, as `jm.lmer` would: nothing is moderated, no variance is shared or
    shrunk across responses. None is left out: those that cannot be fitted have NaN, and a `status` that says
    why. Singular fits are flagged.

    Parameters
    ----------
    formula
        As for `lmer`, with nothing before the `~`: `"~ x + (1 | g)"`. A formula is code, evaluated as Python:
        never accept one from a stranger.
    data
        A pandas or polars frame with the covariates. Rows in which one is missing are dropped, with a
        warning.
    responses
        A column for each response and a row for each row of `data`: a data frame (a pandas frame must have
        the row labels of `data`) or an array, memory-mapped ones included; or names of columns of `data`; or
        an iterator of such frames or arrays. Missing values are NaN, and may be in other rows for each
        response: responses that miss the same rows have a design of their own, in which levels may be empty
        and columns aliased. Each further design costs about a millisecond.
    reml
        Restricted likelihood (default) or likelihood.
    weights, offset
        As for `lmer`: the same for every response.
    ddf
        Method of the tests: `"satterthwaite"`, `"kenward-roger"`, `"wald"` or `"residual"`.
    context
        Further variables and functions that the formula uses.
    path
        A new or empty folder to write results to, a parquet file for every few thousand responses, so that
        memory does not grow with their number.
    progress
        Whether to show a bar, on terminals. An interrupt ends the work with a warning and keeps the
        responses that are done.
    mesh
        Devices that share the fits, a `jax.sharding.Mesh`; by default all of this process. If they belong to
        several processes, each must make the same call, and each returns all fits; with `path`, each writes
        to a folder of its own.

    Returns
    -------
    FitMany or SavedFits
        Tables with a row for each response; with `path`, what reads them back.

    Raises
    ------
    FormulaError, DataError
        Both are `ValueError`: what was found, what was expected, what to do.

    Examples
    --------
    >>> import jaxmixed as jm, numpy as np
    >>> sleepstudy = jm.datasets.load("sleepstudy")
    >>> noise = np.random.default_rng(0).normal(size=(180, 500))
    >>> Y = sleepstudy[["Reaction"]].to_numpy() + 10 * noise
    >>> fits = jm.fit_many("~ Days + (1 | Subject)", sleepstudy, Y)
    >>> fits.params["Days"].describe()[["count", "mean"]].round(1).to_dict()
    {'count': 500.0, 'mean': 10.5}
    """
    check_reml(reml)
    check_ddf(ddf, reml)
    check_mesh(mesh)
    frame = model_frame(formula, data, weights, offset, context, one_sided=True)
    read = read_responses(responses, open_data(data))
    for name in read.given if isinstance(read.given, list) else ():
        check_left_side(name, frame.matrix_terms)
    pieces = OneDesign(frame, reml, ddf, mesh).fits(read)
    if path is None:
        return joined_many(gathered(pieces, read.count, progress, "fit"))
    gathered(write_parts(path, pieces), read.count, progress, "fit")
    return SavedFits(path)
