"""Designs of studies that have not been run: a data frame of covariates and groups, from its factors.

subject=30              30 levels of a grouping factor, crossed with whatever stands before
time=range(5)           these values, crossed with whatever stands before
nested("school", 3)     3 levels of a grouping factor in each school
between("subject", v)   the values v, one to a subject
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ._check import check_count
from ._errors import DataError
from ._words import listed


@dataclass(frozen=True)
class Nested:
    """A grouping factor within another; made by `nested`."""

    group: str
    levels: tuple[int, ...]


@dataclass(frozen=True)
class Between:
    """A covariate that is constant within levels; made by `between`."""

    group: str
    values: tuple[Any, ...]


def nested(group: str, levels: int | Sequence[int]) -> Nested:
    """Describe a grouping factor within the levels of another, for `make_design`.

    Parameters
    ----------
    group
        Name of the grouping factor that holds it.
    levels
        Number of levels in each level of `group`; several numbers take turns.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> jm.make_design(school=2, pupil=jm.nested("school", [1, 2]))["pupil"].tolist()
    ['pupil 1', 'pupil 2', 'pupil 3']
    """
    sizes = (levels,) if not isinstance(levels, Iterable) else _values(levels, "levels of jm.nested")
    for size in sizes:
        check_count("levels of jm.nested", size)
    return Nested(_checked_name(group, "nested"), tuple(int(size) for size in sizes))


def between(group: str, values: Iterable[Any]) -> Between:
    """Describe a covariate that differs between the levels of a grouping factor, for `make_design`.

    Parameters
    ----------
    group
        Name of the grouping factor.
    values
        Numbers or labels, which the levels take in turn. Several such covariates of one group are crossed
        with each other: the first changes fastest.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> jm.make_design(subject=4, arm=jm.between("subject", ["a", "b"]))["arm"].tolist()
    ['a', 'b', 'a', 'b']
    """
    return Between(_checked_name(group, "between"), _values(values, "values of jm.between"))


def make_design(*, repeats: int = 1, **factors: Any) -> pd.DataFrame:
    """Return the rows of a design from its factors, each crossed with those before it.

    Parameters
    ----------
    repeats
        Number of rows in each cell.
    factors
        By name, a whole number (a grouping factor with so many levels, labelled "subject 01"), the values of
        a covariate or factor, `nested(group, levels)` or `between(group, values)`. The first factor changes
        slowest.

    Returns
    -------
    pandas.DataFrame
        A column for each factor, in the order given; the same for the same arguments. Further columns can be
        added as to any frame.

    Raises
    ------
    DataError
        If a factor is none of these, or is within or between the levels of one that does not stand before it.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> design = jm.make_design(subject=20, arm=jm.between("subject", ["drug", "placebo"]), time=range(3))
    >>> design.head(4)
          subject      arm  time
    0  subject 01     drug     0
    1  subject 01     drug     1
    2  subject 01     drug     2
    3  subject 02  placebo     0
    """
    check_count("repeats", repeats)
    if not factors:
        raise DataError("make_design was given no factors; expected some, such as subject=20, time=range(5).")
    codes: dict[str, np.ndarray] = {}
    columns: dict[str, tuple[Any, ...]] = {}
    taken: dict[str, int] = {}  # combinations of the covariates between the levels of each group
    n = 1
    for name, factor in factors.items():
        if isinstance(factor, Between | Nested):
            _check_group(name, factor.group, codes)
        if isinstance(factor, Between):
            cycle = taken.get(factor.group, 1)
            columns[name] = factor.values
            codes[name] = codes[factor.group] // cycle % len(factor.values)
            taken[factor.group] = cycle * len(factor.values)
            continue
        if isinstance(factor, Nested):
            parent = codes[factor.group]
            sizes = np.resize(factor.levels, int(parent.max()) + 1)
            times, firsts = sizes[parent], (np.cumsum(sizes) - sizes)[parent]
            columns[name] = _labels(name, int(sizes.sum()))
        else:
            columns[name] = _levels(name, factor)
            times, firsts = np.full(n, len(columns[name])), np.zeros(n, int)
        codes = {other: np.repeat(values, times) for other, values in codes.items()}
        n = int(times.sum())
        codes[name] = np.repeat(firsts - np.cumsum(times) + times, times) + np.arange(n)
    frame = {name: np.asarray(columns[name])[np.repeat(codes[name], repeats)] for name in factors}
    return pd.DataFrame(frame)


def _levels(name: str, factor: Any) -> tuple[Any, ...]:
    """Return the labels or values of a factor that is crossed with others."""
    if isinstance(factor, int | np.integer) and not isinstance(factor, bool):
        check_count(f"The number of levels of {name!r}", factor)
        return _labels(name, int(factor))
    return _values(factor, repr(name))


def _labels(name: str, number: int) -> tuple[str, ...]:
    width = len(str(number))
    return tuple(f"{name} {i:0{width}d}" for i in range(1, number + 1))


def _values(values: Any, what: str) -> tuple[Any, ...]:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise DataError(
            f"{what} is {values!r}; expected a whole number of levels or several values, such as "
            f"range(5) or ['a', 'b']."
        )
    found = tuple(values)
    if not found:
        raise DataError(f"{what} is empty; expected one value at least.")
    return found


def _checked_name(group: Any, function: str) -> str:
    if not isinstance(group, str):
        raise DataError(f"group of jm.{function} is {group!r}; expected the name of a grouping factor.")
    return group


def _check_group(name: str, group: str, before: Mapping[str, Any]) -> None:
    if group not in before:
        known = f"one of {listed(before)}" if before else "a factor"
        raise DataError(
            f"{name!r} refers to the group {group!r}; expected {known} that stands before it, so name "
            f"{group!r} first."
        )
