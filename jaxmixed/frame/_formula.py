"""lme4's formula language: our own parser splits the bars, formulaic does all the rest.

    response ~ fixed + offset(...) + (columns | group) + (columns || group)

The parser works on text alone and knows no data. A formula is code: its expressions are evaluated
as Python when the model matrices are built, so a formula must not come from a stranger.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ._errors import FormulaError
from ._scan import contexts, python, split, split_terms, unwrap

NAME = re.compile(r"[^\W\d][\w.]*|\.[\w.]+|`[^`]+`")
CALL = re.compile(r"[^\W\d][\w.]*\s*\(.*\)", re.DOTALL)
OFFSET = re.compile(r"offset\s*\((.*)\)", re.DOTALL)


@dataclass(frozen=True)
class Bar:
    """One random-effects term `(columns | group)`.

    Attributes
    ----------
    columns
        Right-hand side for formulaic, its intercept written out: "1 + Days", "0 + Machine".
    group
        Expressions whose interaction is the grouping factor: `("b", "a")` for `b:a`.
    diagonal
        True for `||`: the columns' random effects are uncorrelated.
    """

    columns: str
    group: tuple[str, ...]
    diagonal: bool = False

    @property
    def name(self) -> str:
        """Name of the grouping factor as lme4 writes it: "cask:batch"."""
        return ":".join(plain(factor) for factor in self.group)


@dataclass(frozen=True)
class ParsedFormula:
    """A mixed-model formula in its parts.

    Attributes
    ----------
    text
        The formula as given.
    response
        Name of a column, or a Python expression; empty in a one-sided formula.
    fixed
        Right-hand side for formulaic, its intercept written out: "1 + Days".
    offsets
        Python expressions (or names) inside the `offset()` terms.
    bars
        Random-effects terms in source order, nested groups expanded.
    """

    text: str
    response: str
    fixed: str
    offsets: tuple[str, ...]
    bars: tuple[Bar, ...]


def parse(formula: str, one_sided: bool = False) -> ParsedFormula:
    """Split a formula in lme4's language into its parts.

    Parameters
    ----------
    formula
        Such as "y ~ x + (1 + x | school/pupil)". R's spellings are translated: `I(x^2)`,
        `factor(x)`, `TRUE`. Names with spaces go into backticks. A formula is code, evaluated as
        Python when it meets data: it must not come from a stranger.
    one_sided
        Whether the responses come from elsewhere, and nothing must stand before the '~'.

    Raises
    ------
    FormulaError
        If `formula` is not a string, or is malformed.

    Examples
    --------
    >>> [bar.name for bar in parse("strength ~ 1 + (1 | batch/cask)").bars]
    ['batch', 'cask:batch']
    """
    if not isinstance(formula, str):
        raise FormulaError(
            f"formula is {_shown(formula)}, of type {type(formula).__name__}; "
            f"expected a string such as '{'' if one_sided else 'y '}~ x + (1 | g)'."
        )
    return _parse(formula, one_sided)


@lru_cache(maxsize=256)
def _parse(formula: str, one_sided: bool) -> ParsedFormula:
    sides = split(formula, "~")
    if len(sides) != 2:
        found = "no '~'" if len(sides) == 1 else f"{len(sides) - 1} '~'"
        raise FormulaError(f"Found {found} in {formula!r}; expected one, as in 'y ~ x + (1 | g)'.")
    response, rhs = sides
    if response and one_sided:
        raise FormulaError(
            f"Found the response {response!r} before the '~' in {formula!r}; expected nothing there, as the "
            f"responses are an argument of their own, so write {formula[formula.index('~') :]!r}."
        )
    if not response and not one_sided:
        raise FormulaError(f"No response before the '~' in {formula!r}; name it, as in 'y ~ x + (1 | g)'.")
    if not rhs:
        raise FormulaError(f"Nothing after the '~' in {formula!r}; write '1' for an intercept alone.")
    if "|" in split_bare(response):
        raise FormulaError(f"Found '|' in the response {response!r}; random terms belong after the '~'.")
    fixed, offsets, bars = [], [], []
    for sign, term in split_terms(rhs):
        if is_bar(term):
            _only_added(sign, term, "random")
            bars += parse_bar(unwrap(term))
        elif match := OFFSET.fullmatch(term):
            _only_added(sign, term, "offset")
            offsets.append(expression(match[1]))
        else:
            fixed.append((sign, term))
    left = expression(response) if response else ""
    return ParsedFormula(formula, left, right_hand_side(fixed, formula), tuple(offsets), tuple(bars))


def split_bare(text: str) -> str:
    """Return the characters of `text` that stand neither in quotes nor in a call."""
    return "".join(char for char, where in zip(text, contexts(text), strict=True) if set(where) <= {"g"})


def is_bar(term: str) -> bool:
    """Whether `term` is a random-effects term; a bar anywhere but in its own parentheses is an error."""
    if "|" not in split_bare(term):
        return False
    inner = unwrap(term)
    if inner == term:
        raise FormulaError(
            f"Found a bar outside parentheses in {term!r}; write each random term in its own, as in '+ "
            f"(1 | g)'."
        )
    if len(split(inner, "|")) == 1:
        raise FormulaError(
            f"Found a random term inside {term!r}; random terms can only be added, each in its own "
            f"parentheses: '... + (1 | g)'."
        )
    return True


def parse_bar(inner: str) -> list[Bar]:
    """Parse what stands between the parentheses of a random-effects term, expanding `a/b`."""
    diagonal = len(split(inner, "||")) == 2
    pieces = split(inner, "||" if diagonal else "|")
    if len(pieces) != 2 or len(split(inner, "|")) > (3 if diagonal else 2):
        raise FormulaError(
            f"Found more than one bar in '({inner})'; expected one, as in '(x | g)' or '(x || g)'."
        )
    columns, group = pieces
    if not columns or not group:
        side = "before" if not columns else "after"
        raise FormulaError(
            f"Nothing stands {side} the bar in '({inner})'; expected covariates, a bar and a "
            f"grouping factor, as in '(1 | g)'."
        )
    rhs = right_hand_side(split_terms(columns), f"({inner})")
    if rhs == "0":
        raise FormulaError(f"The random term '({inner})' has no columns; write '(1 | g)' or '(0 + x | g)'.")
    return [Bar(rhs, factors, diagonal) for factors in parse_group(group, inner)]


def parse_group(text: str, inner: str) -> list[tuple[str, ...]]:
    """Expand a grouping expression: `a/b` into `a` and `b:a`, `a:b` into one factor of two."""
    groups: list[tuple[str, ...]] = []
    for level in split(unwrap(text), "/"):
        factors = tuple(_factor(factor, inner) for factor in split(unwrap(level), ":"))
        groups.append(factors + (groups[-1] if groups else ()))
    return groups


def _factor(text: str, inner: str) -> str:
    text = unwrap(text)
    if NAME.fullmatch(text):
        return text
    if CALL.fullmatch(text) and all(contexts(text)[text.index("(") + 1 : -1]):
        return python(text, whole=True)
    raise FormulaError(
        f"The grouping factor {text!r} in '({inner})' is malformed; expected column names joined by "
        f"':' or '/', as in '(1 | a:b)' or '(1 | a/b)'; give each further factor its own term."
    )


def right_hand_side(terms: list[tuple[str, str]], where: str) -> str:
    """Join signed terms into a right-hand side for formulaic, its intercept written out first.

    The intercept is there unless `0` is added or `1` is taken away; the last such word counts.
    """
    intercept, rest = "1", ""
    for sign, term in terms:
        if term in ("0", "1"):
            intercept = "1" if (sign == "+") == (term == "1") else "0"
        elif "offset(" in re.sub(r"[\w.]offset\(", "", split_bare(term)):
            raise FormulaError(
                f"Found an offset inside {term!r}; offsets can only be added to the fixed part."
            )
        elif term == ".":
            raise FormulaError(f"Found '.' for all other columns in {where!r}; name the columns instead.")
        else:
            rest += f" {sign} {python(term)}"
    if intercept == "0":
        return f"0{rest}"
    return f"1{rest}"


def expression(text: str) -> str:
    """Return a name as it is, and anything else as Python."""
    text = unwrap(text)
    return text if NAME.fullmatch(text) else python(text, whole=True)


def plain(factor: str) -> str:
    """Return a name without the backticks around it."""
    return factor[1:-1] if factor.startswith("`") and factor.endswith("`") else factor


def _only_added(sign: str, term: str, kind: str) -> None:
    if sign == "-":
        raise FormulaError(
            f"Found '- {term}'; {kind} terms can only be added, so leave the term out instead."
        )


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else shown[:37] + "..."
