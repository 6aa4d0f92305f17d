"""Fits of many responses to the design of one model frame, or to the rows of it that each response has.

Complete responses share every cross product of X and Z. Those that miss the same rows are fitted together
to the rest of the rows, a design of its own; where they are few, their statistics join those of other
designs, brought to a few shapes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxmixed import core

from ._batches import BY_RESPONSE, axes_of
from ._check import ROUNDING
from ._data import ModelFrame
from ._errors import DataError
from ._fit_lanes import fit_lanes
from ._jobs import Fitted, Job, Names, Rows, fit_jobs, tabulate
from ._labels import variance_labels
from ._many import FitMany
from ._responses import Block, Responses
from ._subset import subset

MOST, NUMBERS = 4096, 2**25  # responses at a time; numbers in their rows and statistics, 256 MiB
FEW = 256  # responses with the same missing rows that are still fitted among those of other designs
SUSPECT = 1e-10  # residual, relative to the fit, below which rounding is looked at

CONSTANT = "the response is constant"
EXACT = "the fixed effects fit the response exactly"
INFINITE = "the response has infinite values"
MISSING = "the response is missing in every row"


class Found(NamedTuple):
    """What became of some responses.

    Attributes
    ----------
    fitted
        Fits of shared designs.
    jobs
        Fits still to be made, of designs of few responses.
    refused
        Why some cannot be fitted, by column.
    """

    fitted: list[Fitted]
    jobs: list[Job]
    refused: dict[int, str]


@dataclass(frozen=True)
class OneDesign:
    """A design that waits for responses."""

    frame: ModelFrame
    reml: bool
    ddf: str
    mesh: Mesh | None

    @cached_property
    def _prepared(self) -> core.Conditioned:
        return core.condition(self.frame.design)

    @cached_property
    def _plan(self) -> core.Plan:
        return core.plan(self._prepared)

    @cached_property
    def _names(self) -> Names:
        return Names(self.frame.fixed_names, variance_labels(self.frame, "sdcor")[0])

    def fits(self, responses: Responses) -> Iterator[tuple[FitMany, int]]:
        """Return the fits of one block after another, and how many there are in each."""
        for block in responses.blocks(self._at_once()):
            yield self._fit(block), len(block.names)

    def _at_once(self) -> int:
        """Return how many responses to hold at a time, a power of two."""
        n = len(self._prepared.Q)
        one = core.assemble(self._prepared, self._plan, np.arange(n, dtype=float), compress=True)
        numbers = n + core.numbers_in((one.structure, one.C))
        return 1 << int(np.clip(NUMBERS // numbers, 1, MOST)).bit_length() - 1

    def _fit(self, block: Block) -> FitMany:
        kept, n_rows = self.frame.kept, len(block.values)
        Y = block.values if len(kept) == n_rows else block.values[kept]
        n, R = Y.shape
        incomplete, missing = _incomplete(Y)
        nobs = np.full(R, n)
        nobs[incomplete] -= missing.sum(axis=0)
        found = [self._complete(Y, np.setdiff1d(np.arange(R), incomplete))]
        found += [self._incomplete(Y, incomplete[columns]) for columns in _alike(missing)]
        fitted = [one for f in found for one in f.fitted]
        fitted += fit_jobs([job for f in found for job in f.jobs], self.reml, self.ddf, self.mesh)
        refused = {column: reason for f in found for column, reason in f.refused.items()}
        rows = Rows(block.names, nobs, n_rows - nobs, refused)
        return tabulate(rows, fitted, self._names, self.frame.formula.text, self.reml, self.ddf)

    def _complete(self, Y: np.ndarray, columns: np.ndarray) -> Found:
        if len(columns) == 0:
            return Found([], [], {})
        Y = Y if len(columns) == Y.shape[1] else Y[:, columns]
        return self._together(self._prepared, self._plan, Y, columns, self._names, few=0)

    def _incomplete(self, Y: np.ndarray, columns: np.ndarray) -> Found:
        """Fit responses that miss the same rows, as a design without them."""
        rows = np.flatnonzero(~np.isnan(Y[:, columns[0]]))
        if len(rows) == 0:
            return Found([], [], dict.fromkeys(columns.tolist(), MISSING))
        try:
            part = subset(self.frame, rows)
        except DataError as error:
            return Found([], [], dict.fromkeys(columns.tolist(), str(error)))
        prepared = core.condition(part.design)
        names = Names(part.terms, variance_labels(part, "sdcor")[0], part.aliased)
        return self._together(prepared, core.plan(prepared), Y[np.ix_(rows, columns)], columns, names, FEW)

    def _together(
        self,
        prepared: core.Conditioned,
        plan: core.Plan,
        Y: np.ndarray,
        columns: np.ndarray,
        names: Names,
        few: int,
    ) -> Found:
        """Take the statistics of responses of one design, and fit them unless they are few."""
        stats = core.assemble_many(prepared, plan, Y, compress=True)
        unfit = _unfit(Y, stats, prepared.offset)
        good = np.setdiff1d(np.arange(Y.shape[1]), list(unfit))
        refused = {int(columns[i]): reason for i, reason in unfit.items()}
        if len(good) <= few:
            return Found([], [Job(int(columns[i]), _take(stats, i), names) for i in good], refused)
        stats = stats if len(good) == Y.shape[1] else _take(stats, good)
        lanes = fit_lanes(stats, BY_RESPONSE, self.reml, self.ddf, self.mesh)
        return Found([Fitted(columns[good], lanes, names)], [], refused)


def _incomplete(Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns with missing values, and where these are in them."""
    with np.errstate(all="ignore"):  # a sum reads each number once and is NaN if any is
        odd = np.flatnonzero(~np.isfinite(np.ones(len(Y)) @ Y))
    missing = np.isnan(Y[:, odd])
    some = missing.any(axis=0)
    return odd[some], missing[:, some]


def _alike(missing: np.ndarray) -> list[np.ndarray]:
    """Return the columns of each distinct pattern of missing rows."""
    if missing.shape[1] == 0:
        return []
    packed = np.ascontiguousarray(np.packbits(missing, axis=0).T)
    keys = packed.view(np.dtype((np.void, packed.shape[1])))[:, 0]
    _, pattern, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return np.split(np.argsort(pattern, kind="stable"), np.cumsum(counts)[:-1])


def _unfit(Y: np.ndarray, stats: core.SuffStats, offset: np.ndarray | None) -> dict[int, str]:
    """Return the responses that cannot be fitted, by column, and why."""
    squares, scale = stats.C[:, -1, -1], stats.scale
    finite = np.isfinite(squares)
    reasons = {int(column): INFINITE for column in np.flatnonzero(~finite)}
    near = finite & ((squares == 0) | (scale <= SUSPECT * np.abs(stats.gamma_ols).max(1, initial=0.0)))
    for column in np.flatnonzero(near):
        if squares[column] == 0 or scale[column] <= ROUNDING * np.abs(Y[:, column]).max():
            reasons[int(column)] = EXACT
    ends = [0, len(Y) // 2, -1]
    some = Y[ends] if offset is None else Y[ends] - offset[ends, None]
    for column in np.flatnonzero(finite & (some == some[0]).all(0)):
        if np.ptp(Y[:, column] if offset is None else Y[:, column] - offset) == 0:
            reasons[int(column)] = CONSTANT
    return reasons


def _take(stats: core.SuffStats, lanes: np.ndarray | int) -> core.SuffStats:
    """Keep some responses, or one without the leading axis."""
    return jax.tree.map(
        lambda axis, leaf: leaf if axis is None else leaf[lanes],
        axes_of(stats, BY_RESPONSE),
        stats,
        is_leaf=lambda axis: axis is None,
    )
