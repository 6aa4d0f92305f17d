"""Levels and their combinations as they turn up: batch by batch, in any order, here or elsewhere."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ._columns import Factor, order_of

SECOND = 2**31  # a pair of codes in one number, first * SECOND + second


class Seen:
    """Distinct values in order of appearance."""

    def __init__(self) -> None:
        self.values: pd.Index | None = None

    def __len__(self) -> int:
        return 0 if self.values is None else len(self.values)

    def places(self, values: pd.Index) -> np.ndarray:
        """Return the place of each of some distinct values, those not seen before put at the end."""
        if self.values is None:
            self.values = values
            return np.arange(len(values))
        found = self.values.get_indexer(values)
        new = np.flatnonzero(found < 0)
        if len(new):
            found[new] = len(self.values) + np.arange(len(new))
            self.values = self.values.append(values[new])
        return found


class SeenLevels:
    """The levels of a factor; their order is that of the categories, if these are always the same."""

    def __init__(self) -> None:
        self._seen = Seen()
        self._categories: list[pd.Index] = []

    def __len__(self) -> int:
        return len(self._seen)

    def codes(self, factor: Factor) -> np.ndarray:
        """Return the codes of rows without missing values in order of appearance of the levels."""
        self._note(factor.levels)
        observed = factor.observed()
        return self._seen.places(observed.levels)[observed.codes]

    def merge(self, other: "SeenLevels") -> np.ndarray:
        """Take in the levels of other rows, and return their codes here."""
        for categories in other._categories:
            self._note(categories)
        return np.empty(0, np.int64) if other._seen.values is None else self._seen.places(other._seen.values)

    def ordered(self) -> tuple[pd.Index, np.ndarray]:
        """Return the levels in their order, and the place in it of each code."""
        values = self._seen.values
        if values is None:
            return pd.Index([]), np.empty(0, np.int64)
        if len(self._categories) == 1:
            order = np.argsort(self._categories[0].get_indexer(values))
        else:
            order = order_of(values)
        return values[order], np.argsort(order)

    def _note(self, categories: pd.Index) -> None:
        if len(self._categories) < 2 and not any(categories.equals(known) for known in self._categories):
            self._categories.append(categories)


class SeenCells:
    """Combinations of the levels of several factors."""

    def __init__(self, n_factors: int):
        self.levels = tuple(SeenLevels() for _ in range(n_factors))
        self._pairs = tuple(Seen() for _ in range(n_factors - 1))

    def __len__(self) -> int:
        return len(self._pairs[-1]) if self._pairs else len(self.levels[0])

    def cells(self, factors: Sequence[Factor]) -> np.ndarray:
        """Return the cell of each row."""
        return self._combined([seen.codes(f) for seen, f in zip(self.levels, factors, strict=True)])

    def codes(self) -> list[np.ndarray]:
        """Return the code of every cell in every factor."""
        cells, codes = np.arange(len(self)), []
        for pairs in reversed(self._pairs):
            assert pairs.values is not None
            cells, code = np.divmod(pairs.values.to_numpy()[cells], SECOND)
            codes.append(code)
        return [cells, *reversed(codes)]

    def merge(self, other: "SeenCells") -> np.ndarray:
        """Take in the cells of other rows, and return their places here."""
        places = [mine.merge(theirs) for mine, theirs in zip(self.levels, other.levels, strict=True)]
        return self._combined([place[code] for place, code in zip(places, other.codes(), strict=True)])

    def _combined(self, codes: list[np.ndarray]) -> np.ndarray:
        cells = codes[0]
        for pairs, code in zip(self._pairs, codes[1:], strict=True):
            row, distinct = pd.factorize(cells * SECOND + code)
            cells = pairs.places(pd.Index(distinct))[row]
        return cells
