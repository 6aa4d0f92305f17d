"""Whether data can be fitted: one error, in one sentence, before anything is compiled."""

from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import jax
import numpy as np
import pandas as pd
from jax.sharding import Mesh

from ._errors import DataError, FormulaError
from ._formula import ParsedFormula
from ._source import Source, unknown_column
from ._words import counted, listed

ROUNDING = 1e-14  # root mean square of residuals, relative to the response


def check_bars(parsed: ParsedFormula, random: bool) -> None:
    """Check that a mixed model has a random term, and a linear regression none."""
    if random and not parsed.bars:
        raise FormulaError(
            f"No random term in {parsed.text!r}; expected one such as '+ (1 | g)', "
            f"or fit it as a linear regression with jm.lm."
        )
    if not random and parsed.bars:
        raise FormulaError(
            f"Found the random term of {parsed.bars[0].name!r} in {parsed.text!r}; "
            f"a linear regression has none, so remove it or fit a mixed model with jm.lmer."
        )


def check_reml(reml: Any) -> None:
    """Check that the choice between restricted likelihood and likelihood is one."""
    if not isinstance(reml, bool):
        raise DataError(f"reml is {reml!r}; expected True for REML or False for maximum likelihood.")


def check_response(y: np.ndarray, offset: np.ndarray | None, name: str) -> None:
    """Check that the response varies."""
    adjusted = y if offset is None else y - offset
    if adjusted[0] == adjusted[-1] and (adjusted == adjusted[0]).all():
        value = f"constant (every value is {adjusted[0]:g})" if len(y) > 1 else "a single value"
        raise DataError(f"The response {name!r} is {value}; expected one that varies, so check the column.")


def check_new_response(y: Any, n: int, name: str, offset: np.ndarray | None) -> np.ndarray:
    """Return a copy of another response for n fitted rows, if it can be one."""
    try:
        y = np.array(y, dtype=float)
    except (TypeError, ValueError):
        raise DataError(f"y is not numeric; expected {n} numbers, other values of {name!r}.") from None
    if y.shape != (n,):
        raise DataError(
            f"y has shape {y.shape}; expected ({n},), a number for each fitted row, "
            f"in the order of fittedvalues."
        )
    if not np.isfinite(y).all():
        raise DataError(
            f"y has {counted(int(np.sum(~np.isfinite(y))), 'infinite or missing value')}; expected "
            f"{n} finite numbers, so fit the model to a frame without those rows."
        )
    check_response(y, offset, name)
    return y


def check_residual(residual: float, y: np.ndarray, name: str) -> None:
    """Check that the fixed effects leave something of the response, beyond rounding."""
    if residual <= ROUNDING * np.abs(y).max():
        raise DataError(
            f"The fixed effects fit the response {name!r} exactly; expected residual variation, so check "
            f"the response, or leave out the covariates it was computed from."
        )


def check_alpha(alpha: Any) -> None:
    """Check that alpha can be one less the coverage of an interval."""
    if not isinstance(alpha, Real) or not 0 < float(alpha) < 1:
        raise DataError(
            f"alpha is {alpha!r}; expected a number between 0 and 1, such as 0.05 for 95% limits."
        )


def check_count(name: str, value: Any) -> None:
    """Check that a number of things is a positive whole number."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise DataError(f"{name} is {value!r}; expected a whole number, 1 or more.")


def check_choice(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    """Check that an option has one of its values."""
    if value not in allowed:
        raise DataError(f"{name} is {value!r}; expected one of {', '.join(map(repr, allowed))}.")


def check_mesh(mesh: Any) -> None:
    """Check that devices, if they are given, are a mesh in which this process has a part."""
    if mesh is None:
        return
    if not isinstance(mesh, Mesh):
        raise DataError(
            f"mesh is of type {type(mesh).__name__}; expected a jax.sharding.Mesh, such as "
            f"jax.make_mesh((jax.device_count(),), ('fits',))."
        )
    processes = {device.process_index for device in mesh.devices.flat}
    if jax.process_index() not in processes:
        raise DataError(
            f"mesh has devices of the processes {sorted(processes)} and this is process "
            f"{jax.process_index()}; expected some of its own among them, so build it from jax.devices()."
        )


def check_finite(values: np.ndarray, name: str) -> None:
    """Check that the values of one column are finite."""
    if not np.isfinite(values).all():
        bad = int(np.sum(~np.isfinite(values)))
        kind = "infinite" if np.isinf(values).any() else "undefined (NaN)"
        raise DataError(
            f"{name!r} is {kind} in {bad} of {counted(len(values), 'row')}; expected finite numbers, "
            f"so transform it differently, or set these values to missing to drop their rows."
        )


def check_matrix(matrix: np.ndarray, names: tuple[str, ...]) -> None:
    """Check that a model matrix is finite, and that no column is called as the intercept is."""
    if names.count("Intercept") > 1:
        raise DataError(
            "The column 'Intercept' of data has the name of the model's intercept; expected another name, "
            "so rename the column, or write 0 + Intercept where it stands for the intercept."
        )
    if not np.isfinite(matrix).all():
        first = int(np.flatnonzero(~np.isfinite(matrix).all(axis=0))[0])
        check_finite(matrix[:, first], names[first])


def check_rows(n: int, n_dropped: int, dropped_by: Mapping[str, int]) -> None:
    """Check that there are rows left."""
    if n == 0 and n_dropped == 0:
        raise DataError(
            "data has no rows; expected at least as many as there are parameters, so check how it was read."
        )
    if n == 0:
        counts = ", ".join(f"{name}: {count}" for name, count in dropped_by.items())
        rows = f"All {n_dropped} rows have" if n_dropped > 1 else "The only row has"
        raise DataError(
            f"{rows} a missing value ({counts}); expected complete rows, so leave out the "
            f"variables that are mostly missing, or fill them."
        )


def check_columns(p: int, n: int) -> None:
    """Check that there are fewer fixed effects than rows."""
    if p >= n:
        raise DataError(
            f"The model has {counted(p, 'fixed effect')} for {counted(n, 'row')}; expected fewer "
            f"effects than rows, so use fewer terms or more data."
        )


def check_group(
    name: str, n_levels: int, blocks: tuple[tuple[str, ...], ...], n: int, weighted: bool
) -> None:
    """Check for enough levels to estimate a variance, and few enough to tell it from the residual's."""
    if n_levels < 2:
        raise DataError(
            f"The grouping factor {name!r} has one level; expected at least two, so choose another "
            f"factor or drop the term."
        )
    for names in blocks:
        effects = n_levels * len(names)
        # Unequal known weights tell a level's effect from the residual even with one row a level.
        if effects < n or (effects == n and weighted):
            continue
        if len(names) == 1:
            raise DataError(
                f"The grouping factor {name!r} has {n_levels} levels for {n} rows; expected fewer levels "
                f"than rows, or the effect of a level cannot be told from the residual, so group the "
                f"rows or supply known weights."
            )
        raise DataError(
            f"The random term of {name!r} has {effects} random effects ({n_levels} levels x "
            f"{listed(names)}) for {n} rows; expected fewer effects than rows, so use fewer "
            f"columns in the term."
        )


def check_overlap(name: str, columns: tuple[str, ...]) -> None:
    """Check that no random effect of a factor is there twice."""
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    if repeated:
        raise FormulaError(
            f"The random terms of {name!r} have {listed(repeated)} more than once; expected each "
            f"effect once, so write 0 + x in one of them, or merge them."
        )


def check_random_columns(name: str, columns: tuple[str, ...], z: np.ndarray) -> None:
    """Check that no column of a random term is zero throughout."""
    if any(0 not in row.tolist() for row in (z[0], z[-1])):
        return
    zero = ~z.any(axis=0)
    if zero.any():
        raise DataError(
            f"The random term of {name!r} has the column {columns[int(np.argmax(zero))]!r}, zero in every "
            f"row; expected a column with other values, so leave it out or check the data."
        )


def check_left_side(response: str, terms: Iterable[str]) -> None:
    """Check that the response is not a covariate too."""
    name = response.strip("`")
    for term in terms:
        if name in [piece.strip("`") for piece in term.split(":")]:
            raise FormulaError(
                f"The response {name!r} is on the right-hand side too, in the term {term!r}; expected "
                f"other covariates, so remove that term."
            )


def row_values(values: Any, name: str, data: Source) -> np.ndarray:
    """Return weights or an offset, a column's name or an array, as float64 of shape (len(data),)."""
    if isinstance(values, str):
        if values not in data:
            raise unknown_column(values, data.columns, name)
        values = data.read(values)
    elif isinstance(values, pd.Series) and data.labelled and len(values) == len(data):
        if not values.index.equals(data.index):
            raise DataError(
                f"{name} has other row labels than the data, or another order of them; expected the same, "
                f"so reindex it to the data, or pass .to_numpy() to go by position."
            )
    if np.asarray(values).dtype.kind in "cmM":
        raise DataError(f"{name} is not numeric; expected a column's name or one real number for each row.")
    try:
        array = pd.array(values, dtype="Float64").to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        try:
            array = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError):
            raise DataError(
                f"{name} is not numeric; expected a column's name or one number for each row."
            ) from None
    if array.shape != (len(data),):
        raise DataError(
            f"{name} has shape {array.shape}, but data has {counted(len(data), 'row')}; expected one "
            f"number for each row, shape ({len(data)},)."
        )
    return array


def check_weights(weights: np.ndarray) -> None:
    """Check that weights are positive and finite."""
    for bad, kind in [
        (np.isnan(weights), "missing"),
        (weights < 0, "negative"),
        (weights == 0, "zero"),
        (np.isinf(weights), "infinite"),
    ]:
        if bad.any():
            raise DataError(
                f"weights has {counted(int(bad.sum()), f'{kind} value')}; expected positive finite numbers, "
                f"so correct {'it' if bad.sum() == 1 else 'them'}, or leave such rows out of data."
            )
