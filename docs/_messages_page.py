"""All errors and warnings in Markdown, by kind: what is said, and what is filled in."""

import ast
import builtins
from html import escape
from pathlib import Path

from _messages import Blank, Message, Sources, collect

from jaxmixed.core import RESULTS

KINDS = ("FormulaError", "DataError", "DatasetError")  # in this order, then warnings, then the rest
OTHERS = {
    "ImportError": "A package that is needed for one thing, and not otherwise, is not installed.",
    "ValueError": "From `jm.core`, whose functions know arrays and no data frames, and from data sets.",
}


def list_of_messages(package: Path) -> str:
    """Return the sections of a page."""
    sources = Sources(package)
    messages = [message for message in collect(sources) if message.text]
    kinds = sorted({message.kind for message in messages}, key=_order)
    sections = [_section(kind, [m for m in messages if m.kind == kind], sources) for kind in kinds]
    return "\n".join([*sections, _endings()])


def _order(kind: str) -> tuple[int, str]:
    if kind in KINDS:
        return KINDS.index(kind), kind
    return len(KINDS) + (not kind.endswith("Warning")), kind


def _section(kind: str, messages: list[Message], sources: Sources) -> str:
    definition = sources.kinds.get(kind)
    own = None if definition is None else ast.get_docstring(definition)
    about = own or OTHERS.get(kind) or getattr(builtins, kind).__doc__
    said = {_shown(message) for message in messages}
    items = [f"<li>{text}</li>" for text in sorted(said, key=_first_word)]
    return "\n".join([f"## {kind}\n", f"{about}\n", '<ul class="messages">', *items, "</ul>\n"])


def _first_word(text: str) -> str:
    return text.removeprefix("<em>").lower()


def _shown(message: Message) -> str:
    return "".join(_blank(part.name) if isinstance(part, Blank) else escape(part) for part in message.text)


def _blank(name: str) -> str:
    words = name.replace("...", "\N{HORIZONTAL ELLIPSIS}").replace("_", " ").strip().lower()
    return f"<em>{escape(words)}</em>"


def _endings() -> str:
    """Return how an optimisation can end, by code."""
    rows = [f"| {code} | {words} |" for code, words in enumerate(RESULTS)]
    about = "The code in `result` of a fit of `jm.core`, and the words of `fit.message`:"
    return "\n".join(["## How a fit ends\n", f"{about}\n", "| code | words |", "| ---: | --- |", *rows, ""])
