"""Model matrices by formulaic: all of a model's in one pass, and again for new data.

Every distinct right-hand side of the formula (the fixed part, the columns of each bar) is one part
of a structured formulaic `Formula`.
"""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import numpy as np
import pandas as pd
from formulaic import Formula, ModelSpecs
from formulaic.errors import DataMismatchWarning, FormulaicError

from ._errors import DataError
from ._expressions import FUNCTIONS, cannot_evaluate, cannot_read, names_in
from ._formula import plain
from ._words import listed


@lru_cache(maxsize=256)
def compile_parts(parts: tuple[str, ...]) -> tuple[Any, tuple[tuple[str, bool], ...]]:
    """Parse right-hand sides into one structured formula.

    Returns
    -------
    Formula or None
        With one part for each right-hand side, `part0`, `part1`, ...; none for "1" and "0", which
        need no formulaic.
    tuple
        The names it uses, in order, and whether each stands inside a call.

    Raises
    ------
    FormulaError
        If formulaic, or Python inside a call, cannot read a part.
    """
    formulas: dict[str, Any] = {}
    names: dict[str, bool] = {}
    for i, part in enumerate(parts):
        if part in ("0", "1"):
            continue
        try:
            formula = _structured({"only": part}).only
            formulas[f"part{i}"] = formula
            for item in (factor for term in formula for factor in term.factors):
                if item.eval_method.value == "lookup":
                    names.setdefault(item.expr, False)
                elif item.eval_method.value == "python":
                    names.update(dict.fromkeys(names_in(item.expr), True))
        except (FormulaicError, SyntaxError) as error:
            raise cannot_read(part, error) from None
    return _structured(formulas) if formulas else None, tuple(names.items())


def expressions(formula: Any) -> tuple[str, ...]:
    """Return the Python expressions of a structured formula, or of none."""
    factors = [] if formula is None else factors_of([formula])
    return tuple(item.expr for item in factors if item.eval_method.value == "python")


def _structured(parts: Mapping[str, Any]) -> Any:
    return cast(Any, Formula)(**parts)  # a metaclass makes it a `StructuredFormula`


@dataclass(frozen=True)
class Matrix:
    """The matrix of one right-hand side: values of shape (n, columns), names, columns of each term."""

    values: np.ndarray
    names: tuple[str, ...]
    terms: dict[str, range]


def build_matrices(
    parts: tuple[str, ...],
    formula: Any,
    data: pd.DataFrame,
    context: Mapping[str, Any],
    state: dict | None = None,
) -> tuple[dict[str, Matrix], ModelSpecs | None]:
    """Evaluate right-hand sides by a formula, or by the specs kept from an earlier call.

    `state` is what the transforms of a formula have learnt already, by the texts of their calls.

    Raises
    ------
    FormulaError
        If an expression fails when it is evaluated.
    DataError
        If new data have a level of a factor that the specs do not know.
    """
    n = len(data)
    built = without_formula(n)
    if formula is None:
        return built, None
    matrices = _materialise(formula, data, context, state)
    for i, part in enumerate(parts):
        key = f"part{i}"
        if part not in built and key in matrices:
            spec = matrices[key].model_spec
            _check_levels(spec)
            terms = {str(term): range(where.start, where.stop) for term, where in spec.term_slices.items()}
            values = np.array(matrices[key], dtype=np.float64).reshape(n, len(spec.column_names))
            built[part] = Matrix(values, tuple(spec.column_names), terms)
    return built, matrices.model_spec


def without_formula(n: int) -> dict[str, Matrix]:
    """Return the right-hand sides that need no formulaic."""
    intercept = Matrix(np.ones((n, 1)), ("Intercept",), {"1": range(1)})
    return {"1": intercept, "0": Matrix(np.empty((n, 0)), (), {})}


def _check_levels(spec: Any) -> None:
    """Check that no term lost its columns because a factor has one level."""
    for term, columns in spec.term_slices.items():
        if columns.start < columns.stop:
            continue
        for item in term.factors:
            levels = spec.encoder_state.get(item.expr, (None, {}))[1].get("categories", ())
            if len(levels) == 1:
                raise DataError(
                    f"The factor {plain(item.expr)!r} has one level ({listed(levels)}); expected at least "
                    f"two, so leave it out."
                )


def _materialise(
    formula: Any, data: pd.DataFrame, context: Mapping[str, Any], state: dict | None = None
) -> Any:
    options: dict[str, Any] = {}
    if isinstance(formula, Formula):
        options = {"output": "numpy", "na_action": "ignore"} | ({"transform_state": state} if state else {})
    # what a transform cannot compute (the log of zero) is found, and named, in the result
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error", DataMismatchWarning)
        try:
            return formula.get_model_matrix(data, context={**FUNCTIONS, **context}, **options)
        except DataMismatchWarning as error:
            levels = re.search(r"\{(.*)\}", str(error))
            shown = re.sub(r"np\.\w+\((.*?)\)", r"\1", levels[1] if levels else str(error))
            raise DataError(
                f"newdata has levels of a fixed-effects factor that the fit did not see: {shown}; "
                f"expected levels of the fitted data only, so leave these rows out."
            ) from None
        except Exception as error:  # whatever a user's expression raises
            specs = [formula] if isinstance(formula, Formula) else [spec.formula for spec in formula]
            expressions = [item.expr for item in factors_of(specs) if item.eval_method.value == "python"]
            raise cannot_evaluate("the formula", expressions, error, data, context) from error


def calls_in(formula: Any) -> list[str]:
    """Return the expressions of a compiled formula that are Python code."""
    return list(dict.fromkeys(expressions(formula)))


def factors_of(formulas: list[Any]) -> Any:
    """Return formulaic's factors of each term of formulas, structured or not."""
    for formula in formulas:
        for part in formula._flatten() if hasattr(formula, "_flatten") else (formula,):
            for term in part:
                yield from term.factors
