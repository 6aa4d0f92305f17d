"""Linear combinations of coefficients, read from text.

    "sex[T.male]:x = 2*x - 1"   ->   (0, -2, 1 | 1), coefficients and a constant that add up to zero

Names of coefficients hold brackets, colons, blanks and operators, so they are found first, and a mark put
in the place of each; what is left must be arithmetic, linear in the marks.
"""

import ast
import difflib
import re
from itertools import pairwise

import numpy as np

from ._errors import DataError
from ._words import listed

MARK = re.compile("\0(\\d+)\0")  # stands for a name, by its place
UNKNOWN = re.compile(r"(?<![\w.])[^\W\d](?:\([^()]*(?:\([^()]*\)[^()]*)*\)|\[[^\]]*\]|[^\s=,+*/()<>\[\]-])*")


def read_equations(text: str, names: list[str]) -> list[tuple[np.ndarray, str]]:
    """Read equations separated by commas; one without "=" is equal to zero.

    Returns
    -------
    list
        For each equation its coefficients and constant, shape (p + 1,), with row @ (beta, 1) = 0, and
        its text.
    """
    found = []
    for marked in _mark(text, names).split(","):
        if marked.strip():
            label = _unmark(marked, names).strip()
            found.append((_read(marked, label, names), label if "=" in marked else f"{label} = 0"))
    return found


def _mark(text: str, names: list[str]) -> str:
    """Replace the names by marks, longest names first; blanks in a name are free."""
    patterns = {}
    for i, name in enumerate(names):
        words = re.findall(r"\w+|[^\w\s]", name)
        gaps = [r"\s+" if a[-1].isalnum() and b[0].isalnum() else r"\s*" for a, b in pairwise(words)]
        body = "".join(re.escape(w) + g for w, g in zip(words, [*gaps, ""], strict=True))
        patterns[rf"(?<![\w.:\[]){body}(?!\w|\s*[:\[(]|\.\w)"] = i
    if not patterns:
        return text
    longest = sorted(patterns, key=len, reverse=True)
    whole = re.compile("|".join(f"(?P<n{patterns[pattern]}>{pattern})" for pattern in longest))
    return whole.sub(lambda match: f"\0{str(match.lastgroup)[1:]}\0", text)


def _unmark(text: str, names: list[str]) -> str:
    return MARK.sub(lambda match: names[int(match[1])], text)


def _read(marked: str, shown: str, names: list[str]) -> np.ndarray:
    sides = marked.split("=")
    if len(sides) > 2 or not all(side.strip() for side in sides):
        raise DataError(f"Cannot read the hypothesis {shown!r}; expected one '=', as in 'x = 0'.")
    if unknown := UNKNOWN.search(marked):
        raise unknown_name(_unmark(unknown[0], names), names)
    values = []
    for side in sides:
        try:
            tree = ast.parse(MARK.sub(r" _\1 ", side).strip(), mode="eval")
        except SyntaxError:
            raise DataError(
                f"Cannot read the hypothesis {shown!r}; expected sums of coefficients and numbers, as in "
                f"'2*x - z = 1'."
            ) from None
        values.append(_evaluate(tree.body, shown, len(names)))
    return values[0] - (values[1] if len(values) == 2 else 0.0)


def _evaluate(node: ast.expr, shown: str, p: int) -> np.ndarray:
    """Return an expression as coefficients and constant."""
    if isinstance(node, ast.Name):
        return np.eye(p + 1)[int(node.id[1:])]
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return np.eye(p + 1)[-1] * node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _evaluate(node.operand, shown, p)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp):
        left, right = _evaluate(node.left, shown, p), _evaluate(node.right, shown, p)
        match node.op:
            case ast.Add():
                return left + right
            case ast.Sub():
                return left - right
            case ast.Mult() if not left[:-1].any() or not right[:-1].any():
                return left[-1] * right if not left[:-1].any() else left * right[-1]
            case ast.Div() if not right[:-1].any() and right[-1] != 0:
                return left / right[-1]
    raise DataError(
        f"The hypothesis {shown!r} is not linear; expected sums of coefficients times numbers, as in "
        f"'2*x - z = 1'."
    )


def unknown_name(name: str, names: list[str]) -> DataError:
    """Return the error for a name that is no coefficient, with the nearest names."""
    known = [other for other in names if other.startswith(f"{name}[")]
    near = dict.fromkeys(known + difflib.get_close_matches(name, names, n=3, cutoff=0.5))
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"expected one of {listed(names)}."
    return DataError(f"{name!r} is not a coefficient of the model; {hint}")
