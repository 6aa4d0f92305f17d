"""Grouping factors: from columns to level codes, observed combinations only.

The codes of an interaction b:a are built two factors at a time, code = code_b * J_a + code_a, and
compressed to the observed pairs at once, so that no table of all combinations is larger than the
rows and the codes stay below n * J_a. Levels are in lme4's order: the first factor varies slowest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from ._columns import Factor


@dataclass(frozen=True)
class GroupLabels:
    """What the random effects of one grouping factor are called.

    Attributes
    ----------
    name
        Name of the factor as lme4 writes it: "Subject", "cask:batch".
    terms
        Names of the columns in each covariance block; a diagonal term has a block for each column.
    factors
        Levels of each factor of an interaction in order, those observed.
    pairs
        For each further factor of an interaction, the sorted pair codes that were observed.
    group
        The expressions whose interaction is the grouping factor.
    """

    name: str
    terms: tuple[tuple[str, ...], ...]
    group: tuple[str, ...]
    factors: tuple[pd.Index, ...] = field(repr=False)
    pairs: tuple[np.ndarray, ...] = field(repr=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the random effects of one level, in the order of the columns of z."""
        return tuple(name for term in self.terms for name in term)

    @property
    def n_levels(self) -> int:
        """Number of levels J."""
        return len(self.pairs[-1]) if self.pairs else len(self.factors[0])

    @cached_property
    def levels(self) -> np.ndarray:
        """Labels in code order, shape (J,): the values of a single factor, text such as "a:A" for several."""
        labels = self.factors[0].to_numpy()
        for levels, keys in zip(self.factors[1:], self.pairs, strict=True):
            left, right = labels[keys // len(levels)], levels.to_numpy()[keys % len(levels)]
            labels = np.array([f"{a}:{b}" for a, b in zip(left, right, strict=True)], dtype=object)
        return labels


@dataclass(frozen=True)
class Grouping:
    """A grouping factor met in data: its codes, and what `GroupLabels` needs to find them again."""

    codes: np.ndarray
    factors: tuple[pd.Index, ...]
    pairs: tuple[np.ndarray, ...]


def group(columns: Sequence[Factor]) -> Grouping:
    """Code the interaction of factors that have no missing values."""
    factors = [column.observed() for column in columns]
    codes, n_levels, pairs = factors[0].codes, len(factors[0].levels), []
    for factor in factors[1:]:
        further = len(factor.levels)
        keys, codes = _compress(codes * further + factor.codes, n_levels * further)
        n_levels = len(keys)
        pairs.append(keys)
    return Grouping(codes, tuple([factor.levels for factor in factors]), tuple(pairs))


def _compress(codes: np.ndarray, n_codes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes that occur among `n_codes`, in order, and the place of each row's among them."""
    if n_codes > len(codes):
        return np.unique(codes, return_inverse=True)
    occurs = np.zeros(n_codes, dtype=bool)
    occurs[codes] = True
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[codes]


def find_levels(column: Factor, levels: pd.Index) -> np.ndarray:
    """Return the codes of a new column among known levels, -1 for those unknown or missing."""
    known = levels.get_indexer(column.levels) if len(column.levels) else np.empty(0, dtype=np.int64)
    return np.append(known, -1)[column.codes]


def find_group(columns: Sequence[Factor], labels: GroupLabels) -> np.ndarray:
    """Return the codes of new rows among the levels of a grouping factor, -1 where there is none."""
    pieces = [find_levels(column, levels) for column, levels in zip(columns, labels.factors, strict=True)]
    codes = pieces[0]
    for more, levels, keys in zip(pieces[1:], labels.factors[1:], labels.pairs, strict=True):
        key = codes * len(levels) + more
        place = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
        codes = np.where((codes >= 0) & (more >= 0) & (keys[place] == key), place, -1)
    return codes


def name_rows(columns: Sequence[Factor], rows: np.ndarray) -> list[str]:
    """Return the distinct labels of some rows, "a:A" for interactions, missing ones as "missing"."""
    parts = []
    for column in columns:
        values = np.append(column.levels.to_numpy().astype(object), "missing")
        parts.append(values[column.codes[rows]])
    if len(parts) == 1:
        return list(dict.fromkeys(parts[0]))
    return list(dict.fromkeys(":".join(map(str, row)) for row in zip(*parts, strict=True)))
