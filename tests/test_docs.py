"""Every example in a docstring, in the README or on the site is run as it stands."""

import contextlib
import doctest
import importlib
import io
import pkgutil
import re
import warnings
from pathlib import Path

import pytest

import jaxmixed

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs/pages").rglob("*.md"))
SLOW = "batches.md", "intervals.md", "component.md"
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


def with_code() -> list:
    """Return the files that have blocks of code, those that take long marked."""
    found = [path for path in [ROOT / "README.md", *PAGES] if "```python" in path.read_text()]
    slow = [pytest.mark.slow]
    return [pytest.param(path, id=path.name, marks=slow if path.name in SLOW else []) for path in found]


def run_page(text: str) -> None:
    """Run the Python blocks of a page in one session, in order, and compare what is said to be printed."""
    block = r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?"
    blocks = re.findall(block, text, flags=re.MULTILINE | re.DOTALL)
    assert blocks
    session: dict[str, object] = {}
    for number, (code, expected) in enumerate(blocks):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, f"block {number}", "exec"), session)
        assert plain(printed.getvalue()) == plain(expected)


@pytest.mark.parametrize("page", with_code())
def test_page(page):
    with warnings.catch_warnings():
        run_page(page.read_text())


def plain(text: str) -> list[str]:
    """Return lines without spaces at their ends or the number of steps, which depends on the processor."""
    return [re.sub(r"\d+ steps", "steps", line.rstrip()) for line in text.rstrip().splitlines()]
