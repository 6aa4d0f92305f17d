"""Every example in a docstring or in the README is run as it stands."""

import contextlib
import doctest
import importlib
import io
import pkgutil
import re
from pathlib import Path

import pytest

import jaxmixed

README = Path(__file__).parents[1] / "README.md"
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def modules() -> list[str]:
    return ["jaxmixed", *(m.name for m in pkgutil.walk_packages(jaxmixed.__path__, "jaxmixed."))]


def examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder()
    found = [test for name in modules() for test in finder.find(importlib.import_module(name), name)]
    return [test for test in found if test.examples]


def run(test: doctest.DocTest) -> None:
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    result = runner.run(test, out=report.append)
    assert result.failed == 0, "".join(report)


@pytest.mark.parametrize("example", examples(), ids=lambda test: test.name)
def test_docstring(example):
    run(example)


def test_readme():
    """Run the README's Python blocks in one session, in order, and compare what is said to be printed."""
    block = r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?"
    blocks = re.findall(block, README.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert blocks
    session: dict[str, object] = {}
    for number, (code, expected) in enumerate(blocks):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, f"README block {number}", "exec"), session)
        assert plain(printed.getvalue()) == plain(expected)


def plain(text: str) -> list[str]:
    """Return lines without spaces at their ends or the number of steps, which depends on the processor."""
    return [re.sub(r"\d+ steps", "steps", line.rstrip()) for line in text.rstrip().splitlines()]
