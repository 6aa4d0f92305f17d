"""A model of rows that are read in batches, whatever their number.

    batches -> Learning -> Layout -> batches -> Sums -> few rows with the same cross products -> ModelFrame

Two passes, and a third if the columns turn out to be less orthogonal than in the sample of the first.
Memory is that of the levels and of one batch.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from jaxmixed import core

from . import _check as check
from ._data import ModelFrame, warn_of_data
from ._errors import DataError
from ._expressions import evaluate
from ._formula import parse, plain
from ._matrices import Matrix, build_matrices, compile_parts
from ._rank import independent_columns
from ._reduced import Reduced
from ._stream_batch import Batch, Rows, plan_reading, response_of
from ._stream_learn import Learning
from ._stream_sums import Columns, Layout, Sums
from ._stream_transforms import check_row_by_row
from ._terms import random_terms

WELL_CONDITIONED = 1e-3  # smallest eigenvalue of V'V, columns of norm one: rounding is 1000 eps at most
PASSES = 3  # over the cross products, at most
ALONE = 8  # rows of the sample that are looked at one by one


def stream_frame(
    formula: str, stream: Rows, weights: Any, offset: Any, context: Mapping[str, Any] | None
) -> ModelFrame:
    """Read a model from a formula and rows in batches; what `model_frame` does for a data frame.

    Raises
    ------
    FormulaError, DataError
        As `model_frame` does, with the file or batch where something was found; also for transforms that need
        all rows at once, and rows that differ from one pass to the next.

    Warns
    -----
    DroppedRowsWarning, AliasedColumnsWarning
    """
    parsed = parse(formula)
    check.check_bars(parsed, random=True)
    reading = plan_reading(parsed, stream.columns, weights, offset, dict(context or {}))
    learning = stream.total(reading, partial(Learning, reading))
    layout = lay_out(learning)
    for _ in range(PASSES):
        sums = stream.total(reading, partial(Sums, layout))
        if (sums.n, sums.n_rows) != (learning.n, learning.n_rows):
            raise DataError(
                f"data had {learning.n_rows} rows ({learning.n} of them complete) at first and {sums.n_rows} "
                f"({sums.n} complete) when read again; expected rows that stay as they are during a fit."
            )
        if core.conditioning(layout.coordinates, sums.products.total) > WELL_CONDITIONED:
            break
        layout = sums.refined()
    frame = to_frame(learning, sums)
    warn_of_data(frame.n_dropped, sums.n_rows, frame.dropped_by, frame.aliased)
    return frame


def lay_out(learning: Learning) -> Layout:
    """Work out the columns of the model, after the first pass."""
    reading = learning.reading
    check.check_rows(learning.n, learning.n_rows - learning.n, learning.dropped_by)
    state, sample = learning.state(), learning.sample()
    frame = sample.frame(reading)
    compiled, _ = compile_parts(reading.parts)
    matrices, specs = build_matrices(reading.parts, compiled, frame, reading.context, dict(state))
    for matrix in matrices.values():
        check.check_left_side(reading.formula.response, matrix.terms)
        check.check_matrix(matrix.values, matrix.names)
    columns = Columns.of(reading, matrices)
    layout = Layout(reading, learning.ordered_levels(), state, specs, columns, core.coordinates(np.eye(1)))
    M = _rows_of(layout, sample, matrices)
    _check_row_by_row(layout, sample, matrices)
    return Layout(reading, layout.levels, state, specs, columns, core.coordinates(M))


def _rows_of(layout: Layout, sample: Batch, matrices: dict[str, Matrix]) -> np.ndarray:
    reading = layout.reading
    y, offset = response_of(reading, sample, sample.frame(reading), layout.state)
    root = None if sample.weights is None else np.sqrt(sample.weights)
    return layout.columns.matrix(matrices, y if offset is None else y - offset, root)


def _check_row_by_row(layout: Layout, sample: Batch, matrices: dict[str, Matrix]) -> None:
    """Check that no expression looks at other rows: some must have the same values by themselves."""
    reading = layout.reading
    frame, whole = sample.frame(reading), _rows_of(layout, sample, matrices)
    expressions = [text for text in layout.grouping if plain(text) not in reading.variables.grouping]
    levels = {text: _labels(layout, text, frame) for text in expressions}
    alone = np.linspace(0, sample.n - 1, ALONE).astype(np.int64)[:, None]
    for rows in [np.arange(sample.n // 3, sample.n)[::-1], *alone]:
        part = sample.take(rows)
        some = part.frame(reading)
        again, _ = build_matrices(reading.parts, layout.specs, some, reading.context)
        for text in reading.parts:
            check_row_by_row(
                f"The part {text!r} of the formula", matrices[text].values, rows, again[text].values
            )
        name = f"The response {plain(reading.formula.response)!r} or its offset"
        check_row_by_row(name, whole, rows, _rows_of(layout, part, again))
        for text, known in levels.items():
            name = f"The grouping expression {text!r}"
            check_row_by_row(name, known, rows, _labels(layout, text, some))


def _labels(layout: Layout, expression: str, frame: pd.DataFrame) -> np.ndarray:
    return evaluate(expression, frame, layout.reading.context, layout.state).astype(str).to_numpy()


def to_frame(learning: Learning, sums: Sums) -> ModelFrame:
    """Return the model of few rows that stand for all, after the second pass."""
    layout, reading, parsed = sums.layout, sums.layout.reading, sums.layout.reading.formula
    factors, M = sums.rows()
    sample = learning.sample().frame(reading)
    known, _ = build_matrices(reading.parts, layout.specs, sample, reading.context)
    check.check_response(np.array([sums.least[0], sums.largest[0]]), None, plain(parsed.response))
    places = {part: np.array(found, dtype=np.int64) for part, found in layout.columns.places.items()}
    matrices = {
        part: Matrix(M[:, found], known[part].names, known[part].terms) for part, found in places.items()
    }
    fixed = matrices[parsed.fixed]
    independent = independent_columns(fixed.values)
    check.check_columns(int(independent.sum()), sums.n)
    weighted = reading.weights is not None and sums.largest[1] > sums.least[1]
    terms, groups = random_terms(
        parsed.bars, matrices, factors, sample, reading.context, layout.state, sums.n, weighted
    )
    names = np.array(fixed.names, dtype=object)
    in_order = [
        np.concatenate([places[bar.columns] for bar in parsed.bars if bar.group == labels.group])
        for labels in groups
    ]
    reduced = Reduced(
        n=sums.n,
        constant=M[:, layout.columns.constant],
        R=layout.coordinates.R,
        squares=sums.products.total if reading.weights is None else sums.unweighted,
        constant_place=layout.columns.constant,
        fixed_places=places[parsed.fixed][independent],
        random_places=tuple(in_order),
    )
    totals = core.Totals(np.asarray(float(sums.n)), np.asarray(sums.log_weights))
    return ModelFrame(
        formula=parsed,
        design=core.Design(M[:, -1].copy(), fixed.values[:, independent], terms, totals=totals),
        response=plain(parsed.response),
        fixed_names=tuple(names[independent]),
        aliased=tuple(names[~independent]),
        groups=groups,
        index=pd.RangeIndex(0),
        kept=np.empty(0, np.int64),
        n_dropped=sums.n_rows - sums.n,
        dropped_by=learning.dropped_by,
        variables=reading.variables,
        complete=sample,
        factors=layout.levels,
        parts=reading.parts,
        specs=layout.specs,
        matrix_terms=fixed.terms,
        independent=independent,
        state=layout.state,
        context=reading.context,
        reduced=reduced,
    )
