"""Tests of simulated data sets, all of them in one pass: by name, in words, or as matrices."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ._errors import DataError
from ._hypotheses import Hypotheses, hypotheses


class Tests(NamedTuple):
    """Labels of tests, and what each tests: by t if it has one row, jointly by F if it has several."""

    labels: tuple[str, ...]
    hypotheses: tuple[Hypotheses, ...]


def read_tests(tests: Any, names: Sequence[str]) -> Tests:
    """Read tests of the coefficients `names`.

    Parameters
    ----------
    tests
        Text ("time", "time = 5", "a = 0, b = 0" for a joint test), a list of such texts, or a mapping from
        labels to whatever `wald_test` takes. `None`: each coefficient but the intercept.

    Raises
    ------
    DataError
        If a hypothesis cannot be read, or a label is there twice.
    """
    if tests is None:
        tests = {name: _single(name, names) for name in names if name != "Intercept"}
        if not tests:
            raise DataError(
                "The model has no coefficient but the intercept; expected tests, such as tests='Intercept'."
            )
    if isinstance(tests, str):
        tests = [tests]
    if isinstance(tests, Mapping):
        labelled = [(str(label), L) for label, L in tests.items()]
    elif isinstance(tests, list | tuple) and all(isinstance(test, str) for test in tests):
        labelled = [(test, test) for test in tests]
    else:
        raise DataError(
            f"tests is of type {type(tests).__name__}; expected text such as 'x = 0', a list of texts, or a "
            f"mapping from labels to hypotheses."
        )
    labels = tuple(label for label, _ in labelled)
    if not labels:
        raise DataError("tests is empty; expected one test at least, such as 'x = 0'.")
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise DataError(f"The test {twice!r} is there twice; expected each once.")
    return Tests(labels, tuple(hypotheses(L, names) for _, L in labelled))


def _single(name: str, names: Sequence[str]) -> np.ndarray:
    return np.array([float(name == other) for other in names])
