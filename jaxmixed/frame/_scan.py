"""Reading a formula as text: which characters are quoted, bracketed, or inside a call.

Everything the parser does is splitting at characters that stand at the top level, and rewriting
what stands inside calls; both need only the context of each character.
"""

import keyword
import re

from ._errors import FormulaError

CLOSING = {"(": ")", "[": "]", "{": "}"}
QUOTES = "\"'`"
# Python reads these as syntax, so a column of that name inside a call is renamed by a trailing
# underscore (and found again in the data); the other keywords can be part of an expression.
EXPRESSION_KEYWORDS = {"and", "or", "not", "in", "is", "if", "else", "for", "lambda", "True", "False", "None"}
STATEMENT_KEYWORDS = set(keyword.kwlist) - EXPRESSION_KEYWORDS
TOKEN = re.compile(r"\^|[^\W\d][\w.]*|(?<=[\w`])\s+(?=\()")
REPLACED = {"^": "**", "TRUE": "True", "FALSE": "False", "as.factor": "factor"}


def contexts(text: str) -> list[str]:
    """Return the context of each character of `text`.

    The context is a string with one letter for each enclosing bracket, `c` for those of a call,
    index or brace (where Python is written) and `g` for those that only group, followed by the
    quotation mark if the character is quoted. It is empty at the top level. A bracket has the
    context of what surrounds it.

    Raises
    ------
    FormulaError
        If brackets or quotation marks are unbalanced.
    """
    found, stack, expected, quote = [], "", [], ""
    for i, char in enumerate(text):
        if quote:
            found.append(stack + quote)
            quote = "" if char == quote else quote
        elif char in QUOTES:
            quote = char
            found.append(stack + quote)
        elif char in CLOSING:
            found.append(stack)
            called = char != "(" or re.search(r"[\w`)\]]\s*$", text[:i])
            stack += "c" if called else "g"
            expected.append(CLOSING[char])
        elif char in CLOSING.values():
            if not expected or expected.pop() != char:
                raise FormulaError(
                    f"Unbalanced brackets: the {char!r} after {text[:i].strip()[-30:]!r} closes nothing; "
                    f"every closing bracket needs its opening one, so remove it or open it."
                )
            stack = stack[:-1]
            found.append(stack)
        else:
            found.append(stack)
    if quote or expected:
        missing = quote or expected[-1]
        raise FormulaError(
            f"Unbalanced formula: {text!r} ends before a {missing!r} that closes what was opened; add "
            f"the {missing!r}."
        )
    return found


def split(text: str, separator: str) -> list[str]:
    """Split `text` at each `separator` that stands at the top level, and strip the pieces."""
    context, pieces, start = contexts(text), [], 0
    i = 0
    while i < len(text):
        if context[i] == "" and text.startswith(separator, i):
            pieces.append(text[start:i].strip())
            i += len(separator)
            start = i
        else:
            i += 1
    return [*pieces, text[start:].strip()]


def split_terms(text: str) -> list[tuple[str, str]]:
    """Split a right-hand side into (sign, term) pairs at its top-level `+` and `-`."""
    terms, sign, term = [], "+", ""
    for char, context in zip(text, contexts(text), strict=True):
        if context == "" and char in "+-":
            if term.strip():
                terms.append((sign, term.strip()))
                sign, term = char, ""
            else:  # a run of signs: minus times minus is plus
                sign = "+" if sign == char else "-"
        else:
            term += char
    if not term.strip():
        raise FormulaError(
            f"Malformed formula: found {text.strip()!r}, which has a '+' or '-' with nothing after it; "
            f"complete the term or remove the sign."
        )
    return [*terms, (sign, term.strip())]


def unwrap(text: str) -> str:
    """Strip parentheses that enclose the whole of `text`."""
    text = text.strip()
    while text.startswith("(") and text.endswith(")") and all(contexts(text)[1:-1]):
        text = text[1:-1].strip()
    return text


def python(text: str, whole: bool = False) -> str:
    """Translate R's spellings to Python's inside the calls of `text`, or in all of it if `whole`.

    Outside calls `^` is formulaic's (and R's) crossing to a degree and stays; inside it is a power.
    """
    context = contexts(text)

    def replace(match: re.Match[str]) -> str:
        token, where = match.group(), context[match.start()]
        if where and where[-1] in QUOTES:
            return token
        if token.isspace():  # R allows a space between a function's name and its parenthesis
            return ""
        if token == "as.factor":
            return "factor"
        if not whole and "c" not in where:
            return token
        return REPLACED.get(token) or (token + "_" if token in STATEMENT_KEYWORDS else token)

    return TOKEN.sub(replace, text)
