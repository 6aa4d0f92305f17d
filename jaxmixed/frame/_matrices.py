"""Model matrices by formulaic: all of a model's in one pass, and again for new data.

Every distinct right-hand side of the formula (the fixed part, the columns of each bar) is one part
of a structured formulaic `Formula`. Expressions are Python, evaluated with the columns, the
caller's `context`, and R's names for common functions in scope.
"""

import ast
import builtins
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
from formulaic.transforms import TRANSFORMS
from formulaic.utils.stateful_transforms import stateful_eval

from ._columns import listed
from ._errors import DataError, FormulaError
from ._formula import NAME, plain


def factor(data: Any, contrasts: Any = None, **options: Any) -> Any:
    """Mark `data` as a factor (R's `factor`, formulaic's `C`), whole numbers as integer levels."""
    values = pd.Series(data)
    if values.dtype.kind == "f" and (values == np.floor(values)).all():
        values = values.astype(np.int64)
    return TRANSFORMS["C"](values, contrasts, **options)


FUNCTIONS: dict[str, Any] = {
    **{
        name: getattr(np, name)
        for name in ("sqrt", "abs", "log1p", "expm1", "sin", "cos", "tan", "floor", "round")
    },
    "ceiling": np.ceil,
    "ifelse": np.where,
    "pmin": np.minimum,
    "pmax": np.maximum,
    "c": lambda *values: np.array(values),
    "factor": factor,
    "C": factor,
}


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
            raise _cannot_read(part, error) from None
    return _structured(formulas) if formulas else None, tuple(names.items())


def expressions(formula: Any) -> tuple[str, ...]:
    """Return the Python expressions of a structured formula, or of none."""
    factors = [] if formula is None else factors_of([formula])
    return tuple(item.expr for item in factors if item.eval_method.value == "python")


def _structured(parts: Mapping[str, Any]) -> Any:
    return cast(Any, Formula)(**parts)  # a metaclass makes it a `StructuredFormula`


def _cannot_read(part: str, error: Exception) -> FormulaError:
    reason = re.sub(r"\x1b\[[0-9;]*m|[⧛⧚]", "", str(error)).strip().splitlines()[0].rstrip(".")
    return FormulaError(f"Cannot read {part!r}: {reason}; expected terms as in 'x + log(z) + a:b'.")


def names_in(expression: str) -> tuple[str, ...]:
    """Return the names an expression looks up, in order; backticked ones without the backticks."""
    return (plain(expression),) if NAME.fullmatch(expression) else _names(expression)[0]


@lru_cache(maxsize=1024)
def _names(expression: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names an expression looks up, and those of the functions it calls."""
    quoted: dict[str, str] = {}

    def alias(match: re.Match) -> str:
        return quoted.setdefault(match[1], f"_quoted_{len(quoted)}_")

    try:
        tree = ast.parse(re.sub(r"`([^`]+)`", alias, expression).strip(), mode="eval")
    except SyntaxError as error:
        raise _cannot_read(expression, error) from None
    unquoted = {alias: name for name, alias in quoted.items()}
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    bound = {node.id for node in nodes if isinstance(node.ctx, ast.Store)}
    bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    loaded = sorted(
        (node.lineno, node.col_offset, node.id)
        for node in nodes
        if node.id not in bound and id(node) not in called
    )
    names = dict.fromkeys(unquoted.get(name, name) for _, _, name in loaded)
    functions = {node.id: None for node in nodes if id(node) in called and node.id not in bound}
    return tuple(names), tuple(functions)


def in_scope(name: str) -> bool:
    """Whether a name that is no column means something inside a call all the same."""
    return name in FUNCTIONS or name in TRANSFORMS or isinstance(getattr(builtins, name, None), type)


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
            raise _cannot_evaluate("the formula", expressions, error, data, context) from error


def calls_in(formula: Any) -> list[str]:
    """Return the expressions of a compiled formula that are Python code."""
    return list(dict.fromkeys(expressions(formula)))


def factors_of(formulas: list[Any]) -> Any:
    """Return formulaic's factors of each term of formulas, structured or not."""
    for formula in formulas:
        for part in formula._flatten() if hasattr(formula, "_flatten") else (formula,):
            for term in part:
                yield from term.factors


def evaluate(expression: str, data: pd.DataFrame, context: Mapping[str, Any], state: dict) -> pd.Series:
    """Evaluate a response, offset or grouping expression; `state` keeps what transforms learn."""
    value = evaluate_any(expression, data, context, state)
    value = getattr(value, "__wrapped__", value)
    if np.shape(value) != (len(data),):
        raise FormulaError(
            f"{expression!r} has shape {np.shape(value)}; expected one value for each row, shape "
            f"({len(data)},)."
        )
    return pd.Series(value)


def evaluate_any(expression: str, data: pd.DataFrame, context: Mapping[str, Any], state: dict) -> Any:
    """Evaluate an expression, whatever it returns."""
    scope = {**TRANSFORMS, **FUNCTIONS, **context, **{name: data[name] for name in data.columns}}
    try:
        with np.errstate(all="ignore"):
            return stateful_eval(expression, scope, None, state, None)
    except Exception as error:
        raise _cannot_evaluate(repr(expression), [expression], error, data, context) from error


def _cannot_evaluate(
    what: str, expressions: list[str], error: Exception, data: pd.DataFrame, context: Mapping[str, Any]
) -> FormulaError:
    known = {**TRANSFORMS, **FUNCTIONS, **context}
    for name in [name for expression in expressions for name in _names(expression)[1]]:
        if name in data:
            return FormulaError(
                f"Cannot evaluate {what}: {name!r} is a column of data, so {name}(...) calls no function; "
                f"expected another name for the column, so rename it."
            )
        if name not in known and not hasattr(builtins, name):
            return FormulaError(
                f"Cannot evaluate {what}: there is no function {name!r}; expected one that is known, so "
                f"compute its values as a column beforehand, or (in jm.lmer) pass it in context=."
            )
    message = " ".join(str(error).split()).rstrip(".")
    return FormulaError(
        f"Cannot evaluate {what}: {type(error).__name__}: {message}; check the expression and the "
        f"columns it uses."
    )
