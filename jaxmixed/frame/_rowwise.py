"""Whether a model frame of some rows is the same as those rows of the model frame of all.

It is if every variable is a column as it stands, or computed from columns row by row. What learns from all
rows (scale, poly, splines, a mean), what may be coded by the levels that occur (comparisons, calls that give
factors), and what is no column (a variable of the context, one value a row) need a frame of their own.
"""

import ast
from collections.abc import Set

import pandas as pd

from ._formula import NAME, ParsedFormula, plain
from ._matrices import compile_parts, expressions
from ._source import Source
from ._variables import Variables

ELEMENTWISE = frozenset(
    "I log log2 log10 log1p exp exp2 exp10 expm1 sqrt abs sin cos tan floor ceiling round".split()
)
ARITHMETIC = (
    *(ast.Expression, ast.Name, ast.Load, ast.Call, ast.Constant, ast.BinOp, ast.UnaryOp, ast.operator),
    *(ast.UAdd, ast.USub),
)
PURE = ("string", "boolean", "integer", "floating", "mixed-integer-float", "decimal", "categorical")


def is_rowwise(parsed: ParsedFormula, variables: Variables, source: Source) -> bool:
    """Tell whether all of a formula is read row by row."""
    parts = tuple(dict.fromkeys([parsed.fixed, *(bar.columns for bar in parsed.bars)]))
    formula, used = compile_parts(parts)
    computed = [*expressions(formula), parsed.response, *parsed.offsets]
    covariates, grouping = set(variables.covariates), set(variables.grouping)
    return (
        all(plain(factor) in grouping for bar in parsed.bars for factor in bar.group)
        and all(in_call or name in covariates for name, in_call in used)
        and all(_is_arithmetic(expression, covariates) for expression in computed)
        and all(_has_one_type(source.read(name)) for name in covariates | grouping)
    )


def _is_arithmetic(expression: str, names: Set[str]) -> bool:
    if NAME.fullmatch(expression):
        return plain(expression) in names
    if "`" in expression:
        return False
    tree = ast.parse(expression.strip(), mode="eval")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if not isinstance(node.func, ast.Name) or node.func.id not in ELEMENTWISE or node.keywords:
                return False
        elif isinstance(node, ast.Name):
            if node.id not in names and node.id not in ELEMENTWISE:
                return False
        elif not isinstance(node, ARITHMETIC):
            return False
    return True


def _has_one_type(values: pd.Series) -> bool:
    """Tell whether any rows of a column are read as the whole is."""
    return values.dtype != object or pd.api.types.infer_dtype(values, skipna=True) in PURE
