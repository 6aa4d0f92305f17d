"""Expressions of a formula: Python, with the columns, the caller's `context` and R's names in scope."""

import ast
import builtins
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from formulaic.transforms import TRANSFORMS
from formulaic.utils.stateful_transforms import stateful_eval

from ._errors import FormulaError
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


def cannot_read(part: str, error: Exception) -> FormulaError:
    """Return the error for a part of a formula that formulaic, or Python inside a call, cannot read."""
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
        raise cannot_read(expression, error) from None
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
        raise cannot_evaluate(repr(expression), [expression], error, data, context) from error


def cannot_evaluate(
    what: str, expressions: list[str], error: Exception, data: pd.DataFrame, context: Mapping[str, Any]
) -> FormulaError:
    """Return the error for expressions that have no value, with the remedy if it is known."""
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
