"""The page of all errors and warnings: what is said, and what is filled in."""

import ast
import html
from itertools import groupby
from pathlib import Path

from _messages import Blank, Message, Sources, collect

from jaxmixed.core import RESULTS

OPENING = """# Messages

Everything this package can say when something is wrong, collected from its sources. An error says what was found,
what was expected, and what to do; it is raised before anything is compiled. A warning is given where a result is
returned that should be looked at. Words in *italics* are filled in. `FormulaError` and `DataError` are `ValueError`s,
and every warning is a `JaxmixedWarning`, so that both can be caught by kind:

```python
import warnings

import jaxmixed as jm

warnings.simplefilter("ignore", jm.SingularFitWarning)
try:
    jm.lmer("Reaction ~ Days", jm.datasets.load("sleepstudy"))
except jm.FormulaError as error:
    print(error)
```

```text
No random term in 'Reaction ~ Days'; expected one such as '+ (1 | g)', or fit it as a linear regression with jm.lm.
```
"""
KINDS = ("FormulaError", "DataError", "DatasetError")  # in this order, then warnings, then the rest
MANY = 12  # messages, beyond which they stand under what they are about
OTHERS = {
    "ImportError": "A package that is needed for one thing, and not otherwise, is not installed.",
    "ValueError": "From the functions of `jm.core`, which know arrays and no data frames, and from data sets.",
    "AttributeError": "Python's own, of a name that is not there.",
}


def messages_page(package: Path) -> str:
    """Return the page in Markdown."""
    sources = Sources(package)
    messages = [message for message in collect(sources) if message.text]
    kinds = sorted({message.kind for message in messages}, key=_order)
    sections = [_section(kind, [m for m in messages if m.kind == kind], sources) for kind in kinds]
    return "\n".join([OPENING, *sections, _endings()])


def _order(kind: str) -> tuple[int, str]:
    if kind in KINDS:
        return KINDS.index(kind), kind
    return len(KINDS) + (not kind.endswith("Warning")), kind


def _section(kind: str, messages: list[Message], sources: Sources) -> str:
    definition = sources.kinds.get(kind)
    about = OTHERS[kind] if definition is None else ast.get_docstring(definition) or ""
    parts = [f"## {kind}\n", f"{about}\n"]
    if len(messages) <= MANY:
        return "\n".join([*parts, _list(messages)])
    for module, some in groupby(messages, key=lambda message: message.module):
        docstring = ast.get_docstring(sources.trees[module]) or ""
        title = docstring.split("\n")[0].split(":")[0].split(";")[0].rstrip(".")
        parts += [f"### {title}\n", _list(list(some))]
    return "\n".join(parts)


def _list(messages: list[Message]) -> str:
    said = dict.fromkeys(_shown(message) for message in messages)
    return "\n".join(['<ul class="messages">', *(f"<li>{text}</li>" for text in said), "</ul>\n"])


def _shown(message: Message) -> str:
    return "".join(
        f"<em>{'…' if part.name == '...' else html.escape(part.name.replace('_', ' ').strip().lower())}</em>"
        if isinstance(part, Blank)
        else html.escape(part, quote=False)
        for part in message.text
    )


def _endings() -> str:
    """Return how an optimisation can end, by code."""
    rows = [f"| {code} | {words} |" for code, words in enumerate(RESULTS)]
    heading = "## How a fit ends\n\nThe code in `result` of a fit of `jm.core`, and the words of `fit.message`:\n"
    return "\n".join([heading, "| code | words |", "| ---: | --- |", *rows, ""])
