"""The first pass over rows in batches: levels, what transforms learn, and a sample of rows.

The sample stands in for the rows when formulaic works out the columns of the model, and gives the second pass
its coordinates. To it belong a row with every level of every factor, and those with extreme arguments of
B-splines.
"""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ._columns import Column, Factor, Numbers
from ._errors import DataError
from ._expressions import evaluate_any
from ._matrices import calls_in, compile_parts
from ._stream_batch import Batch, Reading
from ._stream_levels import SeenLevels
from ._stream_transforms import Extremes, Learner, as_levels, learner, row_values

OF_A_BATCH = 512  # rows of a batch that are kept in the sample
SAMPLE = 2**13  # rows of the sample


class Learning:
    """What is known of the rows read so far; `update` takes in a batch, `merge` other rows.

    Attributes
    ----------
    n, n_rows, dropped_by
        Number of complete rows and of all; missing values of each variable that has any.
    levels
        Those of each covariate that is a factor.
    learners
        For each call that learns, its argument and what is known of it.
    """

    def __init__(self, reading: Reading):
        self.reading = reading
        self.n = self.n_rows = 0
        self.dropped_by: dict[str, int] = {}
        self.levels: dict[str, SeenLevels] = {}
        self.learners: dict[str, tuple[str, Learner]] = {}
        self._kinds: dict[str, type] = {}
        self._calls: tuple[str, ...] = ()
        self._called: dict[str, SeenLevels] = {}
        self._sample: list[Batch] = []
        self._needed: list[Batch] = []

    def update(self, batch: Batch) -> None:
        """Take in the complete rows of a batch."""
        self._count(batch.n, batch.n_rows, batch.dropped_by)
        if batch.n == 0:
            return
        frame = batch.frame(self.reading)
        if not self._kinds:
            self._look(batch, frame)
        self._check_kinds({name: type(column) for name, column in batch.columns.items()})
        for name, seen in self.levels.items():
            column = batch.columns[name]
            assert isinstance(column, Factor)
            self._meet(seen, column, batch)
        for call, seen in self._called.items():
            found = as_levels(evaluate_any(call, frame, self.reading.context, {}))
            if found is not None:
                self._meet(seen, found, batch)
        for argument, learning in self.learners.values():
            values = row_values(argument, frame, self.reading.context)
            if isinstance(learning, Extremes):
                beyond = [(values.min() < learning.least, values.argmin())]
                beyond.append((values.max() > learning.largest, values.argmax()))
                self._needed += [batch.take(np.array([row]), False) for is_new, row in beyond if is_new]
            learning.update(values)
        rows = np.unique(np.linspace(0, batch.n - 1, OF_A_BATCH).astype(np.int64))
        self._sample.append(batch.take(rows, False))
        self._thin()

    def merge(self, other: "Learning") -> None:
        """Take in what was learnt from other rows."""
        self._count(other.n, other.n_rows, other.dropped_by)
        if not other._kinds:
            return
        if not self._kinds:
            known = other._kinds, other.levels, other.learners, other._called
            self._kinds, self.levels, self.learners, self._called = copy.deepcopy(known)
        else:
            self._check_kinds(other._kinds)
            for name, seen in self.levels.items():
                seen.merge(other.levels[name])
            for call, seen in self._called.items():
                seen.merge(other._called[call])
            for call, (_, learning) in self.learners.items():
                learning.merge(other.learners[call][1])
        self._sample += other._sample
        self._needed += other._needed
        self._thin()

    def state(self) -> dict[str, Any]:
        """Return what the transforms have learnt, by the texts of their calls."""
        states = {call: learning.state() for call, (_, learning) in self.learners.items()}
        return {call: state for call, state in states.items() if state is not None}

    def ordered_levels(self) -> dict[str, pd.Index]:
        """Return the levels of each covariate that is a factor, in order."""
        return {name: seen.ordered()[0] for name, seen in self.levels.items()}

    def sample(self) -> Batch:
        """Return the sample, factors coded by all levels."""
        levels = self.ordered_levels()
        pieces = [piece.with_levels(levels) for piece in [*self._sample, *self._needed]]
        columns: dict[str, Column] = {}
        for name, kind in self._kinds.items():
            if kind is Factor:
                codes = [column.codes for column in _columns(pieces, name) if isinstance(column, Factor)]
                columns[name] = Factor(np.concatenate(codes), levels[name])
            else:
                values = [column.values for column in _columns(pieces, name) if isinstance(column, Numbers)]
                columns[name] = Numbers(np.concatenate(values))

        def joined(parts: list[np.ndarray | None]) -> np.ndarray | None:
            found = [part for part in parts if part is not None]
            return np.concatenate(found) if found else None

        weights, offset = joined([p.weights for p in pieces]), joined([p.offset for p in pieces])
        n = sum(piece.n for piece in pieces)
        return Batch(columns, {}, weights, offset, n, n, {})

    def _look(self, batch: Batch, frame: pd.DataFrame) -> None:
        """See what there is to learn."""
        self._kinds = {name: type(column) for name, column in batch.columns.items()}
        self.levels = {name: SeenLevels() for name, kind in self._kinds.items() if kind is Factor}
        state: dict[str, Any] = {}
        calls = calls_in(compile_parts(self.reading.parts)[0])
        for call in calls:
            if as_levels(evaluate_any(call, frame, self.reading.context, state)) is not None:
                self._called[call] = SeenLevels()
        bars = self.reading.formula.bars
        more = [*self.reading.formula.offsets, *(factor for bar in bars for factor in bar.group)]
        for expression in more:
            if expression.strip("`") not in self.reading.columns:
                evaluate_any(expression, frame, self.reading.context, state)
        stateful = [call for call, found in state.items() if found]
        for call in stateful:
            found = learner(call, state[call], [other for other in stateful if other != call])
            if found is not None:
                self.learners[call] = found

    def _meet(self, seen: SeenLevels, factor: Factor, batch: Batch) -> None:
        """Note the levels of a batch, and keep a row of each that is new."""
        before = len(seen)
        codes = seen.codes(factor)
        if len(seen) > before:
            distinct, first = np.unique(codes, return_index=True)
            self._needed.append(batch.take(first[distinct >= before], False))

    def _count(self, n: int, n_rows: int, dropped_by: dict[str, int]) -> None:
        self.n += n
        self.n_rows += n_rows
        for name, count in dropped_by.items():
            self.dropped_by[name] = self.dropped_by.get(name, 0) + count

    def _check_kinds(self, kinds: dict[str, type]) -> None:
        for name, kind in kinds.items():
            if kind is not self._kinds[name]:
                raise DataError(
                    f"The column {name!r} holds numbers in some batches and levels in others; expected one "
                    f"of them throughout, so convert it."
                )

    def _thin(self) -> None:
        while sum(piece.n for piece in self._sample) > SAMPLE:
            if len(self._sample) > SAMPLE // 16:
                self._sample = self._sample[::2]
            else:
                self._sample = [piece.take(np.arange(0, piece.n, 2)) for piece in self._sample]


def _columns(pieces: list[Batch], name: str) -> Iterator[Column]:
    return (piece.columns[name] for piece in pieces)
