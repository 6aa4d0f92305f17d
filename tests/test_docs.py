"""Every example in a docstring or in the README is run as it stands."""

import doctest
import importlib
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
    """Run the README's Python blocks in one session, in order; `>>>` blocks are compared, others only run."""
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert blocks
    session: dict[str, object] = {}
    for number, block in enumerate(blocks):
        if ">>>" in block:
            test = doctest.DocTestParser().get_doctest(block, {}, f"README block {number}", str(README), 0)
            test.globs = session
            report: list[str] = []
            result = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=report.append, clear_globs=False)
            assert result.failed == 0, "".join(report)
        else:
            exec(compile(block, f"README block {number}", "exec"), session)
