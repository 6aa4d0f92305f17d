"""The second pass over rows in batches: the columns of the model, and their cross products in each cell."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from jaxmixed import core

from . import _check as check
from ._columns import Factor
from ._formula import plain
from ._matrices import Matrix, build_matrices
from ._stream_batch import Batch, Reading, response_of
from ._stream_levels import SeenCells
from ._terms import grouping_column


@dataclass(frozen=True)
class Columns:
    """Where the columns of a model are among the distinct columns M = [z's, 1, further x's, y].

    Attributes
    ----------
    places
        For each right-hand side, the places of its columns.
    sources
        For each column of M but the last, a right-hand side and the column's place in it; `None` for ones.
    lead
        Number of columns that random effects have.
    constant
        Place of the column of ones.
    """

    places: dict[str, tuple[int, ...]]
    sources: tuple[tuple[str, int] | None, ...]
    lead: int
    constant: int

    @classmethod
    def of(cls, reading: Reading, matrices: dict[str, Matrix]) -> "Columns":
        """Find the distinct columns, given those of a sample: columns of one name and equal values."""
        bars = [bar.columns for bar in reading.formula.bars]
        parts = list(dict.fromkeys([*bars, reading.formula.fixed]))
        sources: list[tuple[str, int] | None] = []
        places: dict[str, tuple[int, ...]] = {}
        constant = lead = -1

        def values(place: int) -> tuple[str, np.ndarray]:
            source = sources[place]
            if source is None:
                return "Intercept", np.ones(1)
            return matrices[source[0]].names[source[1]], matrices[source[0]].values[:, source[1]]

        for part in parts:
            if part not in bars:
                lead = len(sources)
            found = []
            for j, name in enumerate(matrices[part].names):
                own = matrices[part].values[:, j]
                alike = [
                    k for k in range(len(sources)) if values(k)[0] == name and (values(k)[1] == own).all()
                ]
                if not alike:
                    sources.append((part, j))
                found.append(alike[0] if alike else len(sources) - 1)
            places[part] = tuple(found)
        lead = len(sources) if lead < 0 else lead
        for place in range(len(sources)):
            if (values(place)[0], (values(place)[1] == 1).all()) == ("Intercept", True):
                constant = place
        if constant < 0:
            constant = len(sources)
            sources.append(None)
        return cls(places, tuple(sources), lead, constant)

    def matrix(self, matrices: dict[str, Matrix], y: np.ndarray, root: np.ndarray | None) -> np.ndarray:
        """Return M, its rows multiplied by the roots of the weights."""
        M = np.empty((len(y), len(self.sources) + 1))
        for place, source in enumerate(self.sources):
            M[:, place] = 1.0 if source is None else matrices[source[0]].values[:, source[1]]
        M[:, -1] = y
        return M if root is None else M * root[:, None]


@dataclass(frozen=True)
class Layout:
    """All that the first pass has to say to the second; the same for every batch.

    Attributes
    ----------
    reading
        What is read.
    levels, state, specs
        Levels of covariates, what transforms have learnt, and formulaic's specs.
    columns
        The distinct columns M of the model.
    coordinates
        R in V = M R^-1.
    """

    reading: Reading
    levels: dict[str, pd.Index]
    state: dict[str, Any]
    specs: Any
    columns: Columns
    coordinates: core.Coordinates

    @property
    def grouping(self) -> tuple[str, ...]:
        """The expressions whose combinations of levels are the cells."""
        return tuple(dict.fromkeys(factor for bar in self.reading.formula.bars for factor in bar.group))


class Sums:
    """What is left of the rows read so far; `update` takes in a batch, `merge` other rows.

    Attributes
    ----------
    cells, products
        The cells, and their cross products.
    unweighted
        V'V without the weights, if there are any.
    n, n_rows
        Number of complete rows, and of all.
    log_weights
        Sum of the logarithms of the weights.
    least, largest
        Extremes of the response less the offset, and of the weights.
    """

    def __init__(self, layout: Layout):
        width = len(layout.columns.sources) + 1
        self.layout = layout
        self.cells = SeenCells(len(layout.grouping))
        self.products = core.CellSums(width, layout.columns.lead)
        self.unweighted = np.zeros((width, width))
        self.n = self.n_rows = 0
        self.log_weights = 0.0
        self.least, self.largest = np.full(2, np.inf), np.full(2, -np.inf)

    def update(self, batch: Batch) -> None:
        """Take in the complete rows of a batch."""
        self.n += batch.n
        self.n_rows += batch.n_rows
        if batch.n == 0:
            return
        layout, reading = self.layout, self.layout.reading
        batch = batch.with_levels(layout.levels)
        frame = batch.frame(reading)
        y, offset = response_of(reading, batch, frame, layout.state)
        y = y if offset is None else y - offset
        matrices, _ = build_matrices(reading.parts, layout.specs, frame, reading.context)
        for matrix in matrices.values():
            check.check_matrix(matrix.values, matrix.names)
        factors: list[Factor] = [
            grouping_column(expression, batch.factors, frame, reading.context, layout.state)
            for expression in layout.grouping
        ]
        cells = self.cells.cells(factors)
        w = batch.weights
        root = None if w is None else np.sqrt(w)
        V = layout.columns.matrix(matrices, y, root) @ layout.coordinates.inverse
        self.products.add(cells, len(self.cells), V)
        extremes = [y] if w is None else [y, w]
        for place, values in enumerate(extremes):
            self.least[place] = min(self.least[place], values.min())
            self.largest[place] = max(self.largest[place], values.max())
        if w is not None:
            self.log_weights += np.log(w).sum()
            plain_rows = V / np.sqrt(w)[:, None]
            self.unweighted += plain_rows.T @ plain_rows

    def merge(self, other: "Sums") -> None:
        """Take in the sums of other rows."""
        cells = self.cells.merge(other.cells)
        self.products.merge(other.products, cells, len(self.cells))
        self.unweighted += other.unweighted
        self.n += other.n
        self.n_rows += other.n_rows
        self.log_weights += other.log_weights
        self.least = np.minimum(self.least, other.least)
        self.largest = np.maximum(self.largest, other.largest)

    def refined(self) -> Layout:
        """Return the layout with better coordinates for another pass."""
        at = core.refine(self.layout.coordinates, self.products.total)
        return dataclasses.replace(self.layout, coordinates=at)

    def rows(self) -> tuple[dict[str, Factor], np.ndarray]:
        """Return grouping columns and M of few rows with the same cross products."""
        at = self.layout.coordinates
        cells, rows = self.products.rows(core.dependent_columns(at, self.products.total))
        factors = {}
        for expression, seen, code in zip(
            self.layout.grouping, self.cells.levels, self.cells.codes(), strict=True
        ):
            levels, place = seen.ordered()
            factors[plain(expression)] = Factor(place[code][cells], levels)
        M = rows @ at.R
        M[np.abs(M) <= ROUNDING * np.abs(M).max(axis=0)] = 0.0
        return factors, M


ROUNDING = 1e-14  # of the largest value of a column, below which it is zero
