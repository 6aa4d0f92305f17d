"""Several models in one table: fixed effects, standard deviations, and how well each of them fits."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from jaxmixed import core

from ._errors import DataError
from ._html import html_table
from ._labels import variance_labels
from ._lm import LmResult
from ._result import LmerResult
from ._summary import format_column

FIXED, RANDOM, FIT = "Fixed effects", "Standard deviations and correlations", "Fit"
SIZES = ("Rows", "Levels of ")
OTHER_DATA = "REML criteria, AIC and BIC of models with other fixed effects cannot be compared: see jm.anova."


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Models side by side; made by `compare`. It prints as text and renders in a notebook.

    Attributes
    ----------
    table
        Numbers, by `part` and `name`; for each model a column `estimate` and a column `std_error`. What a
        model does not have is NaN.
    notes
        The formulas, and what should make one hesitate.
    """

    table: pd.DataFrame
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of `table`."""
        return self.table.copy()

    def to_text(self) -> pd.DataFrame:
        """Return the table as text, a column for each model, standard errors in parentheses."""
        models = list(dict.fromkeys(self.table.columns.get_level_values(0)))
        rows = [_row(place, self.table.loc[place], models) for place in self.table.index]
        return pd.DataFrame(rows, self.table.index, models)

    def to_markdown(self) -> str:
        """Return the table in Markdown."""
        text = self.to_text()
        lines = [_pipes(["", *text.columns]), _pipes([":--", *["--:"] * len(text.columns)])]
        for part, rows in text.groupby(level=0, sort=False):
            lines.append(_pipes([f"**{part}**", *[""] * len(text.columns)]))
            names = rows.index.get_level_values(1)
            lines += [_pipes([name, *cells]) for name, cells in zip(names, rows.to_numpy(), strict=True)]
        return "\n".join(lines) + "\n"

    def to_great_table(self) -> Any:
        """Return a `great_tables.GT`, to be styled, saved as an image, or written as LaTeX or HTML.

        Raises
        ------
        ImportError
            If great_tables is not installed: `pip install "jaxmixed[tables]"`.
        """
        try:
            from great_tables import GT
        except ImportError as error:
            raise ImportError(
                "LaTeX and HTML need great_tables, which is not installed; "
                'run: pip install "jaxmixed[tables]".'
            ) from error
        text = self.to_text().rename_axis(["part", "name"]).reset_index()
        table = GT(text, rowname_col="name", groupname_col="part")
        for note in self.notes:
            table = table.tab_source_note(note)
        return table

    def to_latex(self) -> str:
        """Return the table in LaTeX, by great_tables."""
        return self.to_great_table().as_latex()

    def to_html(self) -> str:
        """Return the table in HTML with its style, by great_tables."""
        return self.to_great_table().as_raw_html()

    def __repr__(self) -> str:
        text = self.to_text()
        names = [f"  {name}" for name in text.index.get_level_values(1)]
        columns = [_padded(["", *names], left=True)]
        columns += [_padded([str(model), *text[model]]) for model in text]
        head, *lines = ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]
        parts = text.index.get_level_values(0)
        shown = [head]
        for i, line in enumerate(lines):
            if i == 0 or parts[i] != parts[i - 1]:
                shown += ["", parts[i]]
            shown.append(line)
        return "\n".join([*shown, "", *self.notes])

    def _repr_html_(self) -> str:
        text, rows = self.to_text(), []
        for part, cells in text.groupby(level=0, sort=False):
            rows.append([part])
            rows += [[name, *line] for (_, name), line in zip(cells.index, cells.to_numpy(), strict=True)]
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        table = html_table(["", *text.columns], rows, left=(0,))
        return f'<div class="jaxmixed-comparison">{table}{notes}</div>'


def compare(*fits: LmerResult | LmResult, names: Sequence[str] | None = None) -> Comparison:
    """Put models side by side: fixed effects with standard errors, standard deviations, criteria, sizes.

    Parameters
    ----------
    *fits
        Results of `jm.lmer` or `jm.lm`.
    names
        A name for each; by default "model 1", "model 2", ...

    Raises
    ------
    DataError
        If there is no fit, something else than a fit, or not as many different names as fits.

    Examples
    --------
    >>> import jaxmixed as jm
    >>> sleep = jm.datasets.load("sleepstudy")
    >>> level = jm.lmer("Reaction ~ Days + (1 | Subject)", sleep)
    >>> line = jm.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    >>> table = jm.compare(level, line, names=["level", "line"])
    >>> print(table.to_markdown().splitlines()[4])
    | Days | 10.4673 (0.8042) | 10.4673 (1.5458) |
    """
    _check(fits)
    names = [f"model {i + 1}" for i in range(len(fits))] if names is None else list(map(str, names))
    if len(set(names)) != len(fits) or len(names) != len(fits):
        raise DataError(f"names is {names}; expected {len(fits)} different names, one for each fit.")
    parts = {name: _column(fit) for name, fit in zip(names, fits, strict=True)}
    table = pd.concat(parts, axis=1, sort=False)
    table = table.iloc[np.argsort([_rank(*place) for place in table.index], kind="stable")]
    return Comparison(table.rename_axis(["part", "name"]), _notes(fits, names))


def _check(fits: tuple[Any, ...]) -> None:
    if not fits:
        raise DataError("jm.compare has no fit; expected one or more results of jm.lmer or jm.lm.")
    for i, fit in enumerate(fits):
        if not isinstance(fit, LmerResult | LmResult):
            raise DataError(
                f"Argument {i + 1} of jm.compare is of type {type(fit).__name__}; expected a result of "
                f"jm.lmer or jm.lm."
            )


def _column(fit: LmerResult | LmResult) -> pd.DataFrame:
    """Return the rows of one model, in order."""
    fixed = {(FIXED, term): (fit.params[term], fit.bse[term]) for term in fit.params.index}
    if isinstance(fit, LmerResult):
        labels, _ = variance_labels(fit.frame, "sdcor")
        scaled = core.on_scale(fit._variance_parameters, fit.stats.blocks, "sdcor")
        errors = np.sqrt(np.diagonal(scaled.vcov))
        random = {(RANDOM, name): pair for name, *pair in zip(labels, scaled.values, errors, strict=True)}
        numbers = {"REML criterion" if fit.reml else "Deviance": fit.criterion, "Log likelihood": fit.llf}
        numbers |= {"AIC": fit.aic, "BIC": fit.bic, "Rows": fit.nobs}
        numbers |= {f"Levels of {name}": levels for name, levels in fit.ngroups.items()}
    else:
        random = {(RANDOM, "sigma"): (fit.sigma, np.nan)}
        numbers = {"Log likelihood": fit.llf, "AIC": fit.aic, "BIC": fit.bic, "Rows": fit.nobs}
    rows = fixed | random | {(FIT, name): (float(number), np.nan) for name, number in numbers.items()}
    index = pd.MultiIndex.from_tuples(rows)
    return pd.DataFrame(list(rows.values()), index, ["estimate", "std_error"], dtype=float)


def _rank(part: str, name: str) -> int:
    """Return where a row belongs: parts in order, sigma and sizes at the end of theirs."""
    last = name == "sigma" or name.startswith(SIZES)
    return 2 * (FIXED, RANDOM, FIT).index(part) + (part != FIXED and last)


def _notes(fits: tuple[LmerResult | LmResult, ...], names: list[str]) -> tuple[str, ...]:
    notes = []
    for name, fit in zip(names, fits, strict=True):
        mixed = isinstance(fit, LmerResult)
        formula = fit.frame.formula.text if mixed else fit.formula
        method = ("REML" if fit.reml else "maximum likelihood") if mixed else "least squares"
        doubts = [*(fit.singular_terms or []), *([fit.doubts] if fit.doubts else [])] if mixed else []
        notes.append(f"{name}: {formula}, by {method}" + "".join(f"; {doubt}" for doubt in doubts) + ".")
    restricted = [fit for fit in fits if isinstance(fit, LmerResult) and fit.reml]
    if len({tuple(fit.params.index) for fit in restricted}) > 1 or 0 < len(restricted) < len(fits):
        notes.append(OTHER_DATA)
    return tuple(notes)


def _row(place: tuple[str, str], numbers: pd.Series, models: list[str]) -> list[str]:
    """Return the cells of one row, with as many decimals as its smallest standard error deserves."""
    values = pd.Series([numbers[model, "estimate"] for model in models])
    errors = pd.Series([numbers[model, "std_error"] for model in models])
    part, name = place
    if part == FIT:
        shown = [f"{value:.{0 if name.startswith(SIZES) else 1}f}" for value in values]
    elif errors.isna().all():
        shown = format_column(values)
    else:
        pairs = zip(format_column(values, errors), format_column(errors), errors, strict=True)
        shown = [value if np.isnan(error) else f"{value} ({se})" for value, se, error in pairs]
    return ["" if np.isnan(value) else cell for cell, value in zip(shown, values, strict=True)]


def _pipes(cells: list[str]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def _padded(cells: list[str], left: bool = False) -> list[str]:
    width = max(map(len, cells))
    return [f"{cell:<{width}}" if left else f"{cell:>{width}}" for cell in cells]
