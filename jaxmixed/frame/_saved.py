"""Fits in a folder: a parquet file for each piece, a row for each fit, read back when asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from ._errors import DataError
from ._many import STATISTICS, FitMany, joined_many

TABLES = {**{name: f"{column}:" for name, column in STATISTICS.items()}, "varcorr": "", "theta": ""}
SERIES = ("criterion", "nobs", "n_dropped", "singular", "status")


class SavedFits:
    """Fits in a folder, as `fit_many(..., path=folder)` writes them.

    The parquet files have a row for each response and the columns `response`, `estimate:x`, `std_error:x`,
    `statistic:x`, `df:x` and `p_value:x` for each term, then variance components, theta, `criterion`, `nobs`,
    `n_dropped`, `singular` and `status`, so that any reader of parquet can use them. Here they are read
    when asked for, one file after another.

    Parameters
    ----------
    path
        The folder.

    Raises
    ------
    DataError
        If it holds no such files, or pyarrow is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._files = sorted(self.path.glob("part-*.parquet"))
        if not self._files:
            raise DataError(
                f"The folder {str(path)!r} holds no results; expected what fit_many wrote, so check the path."
            )

    def __iter__(self) -> Iterator[FitMany]:
        """Return the fits of one file after another."""
        return map(_read, self._files)

    def read(self) -> FitMany:
        """Read all of them."""
        return joined_many(list(self))

    def to_frame(self, adjust: str | None = None) -> pd.DataFrame:
        """Read all and return a row for each fit and term, as `FitMany.to_frame` does."""
        return self.read().to_frame(adjust)

    def glance(self) -> pd.DataFrame:
        """Read all and return a row for each fit, as `FitMany.glance` does."""
        return self.read().glance()

    def __repr__(self) -> str:
        return f"SavedFits({str(self.path)!r}, files={len(self._files)})"


def write_parts(path: str | Path, pieces: Iterable[tuple[FitMany, int]]) -> Iterator[tuple[None, int]]:
    """Write each piece as it comes, and forget it.

    Raises
    ------
    DataError
        If pyarrow is not installed, or the folder has results in it already.
    """
    _pyarrow()
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.glob("part-*.parquet")):
        raise DataError(f"The folder {str(path)!r} has results in it; expected a new one, or an empty one.")
    return ((_write(folder / f"part-{i:05d}.parquet", fits), n) for i, (fits, n) in enumerate(pieces))


def _write(file: Path, fits: FitMany) -> None:
    pa, parquet = _pyarrow()
    columns = [getattr(fits, name).add_prefix(prefix) for name, prefix in TABLES.items()]
    flat = pd.concat([*columns, *(getattr(fits, name) for name in SERIES)], axis=1).reset_index()
    facts = {
        "fit": [fits.formula, fits.reml, fits.ddf],
        "tables": {name: list(getattr(fits, name).columns) for name in TABLES},
    }
    table = pa.Table.from_pandas(flat, preserve_index=False)
    table = table.replace_schema_metadata({**table.schema.metadata, b"jaxmixed": json.dumps(facts).encode()})
    unfinished = file.with_suffix(".unfinished")  # an interrupt leaves no half of a file under its name
    parquet.write_table(table, unfinished)
    unfinished.rename(file)


def _read(file: Path) -> FitMany:
    _, parquet = _pyarrow()
    table = parquet.read_table(file)
    facts, flat = json.loads(table.schema.metadata[b"jaxmixed"]), table.to_pandas()
    flat = flat.set_index(flat.columns[0])
    tables: dict[str, Any] = {}
    for name, columns in facts["tables"].items():
        part = flat[[TABLES[name] + column for column in columns]]
        tables[name] = part.set_axis(pd.Index(columns, dtype=object), axis=1)
    tables |= {name: flat[name] for name in SERIES}
    ordered = [tables[field.name] for field in fields(FitMany)[3:]]
    return FitMany(*facts["fit"], *ordered)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise DataError(
            "Results on disk need pyarrow, which is not installed; expected it, so run pip install "
            '"jaxmixed[data]", or leave out path.'
        ) from None
    return pyarrow, parquet
