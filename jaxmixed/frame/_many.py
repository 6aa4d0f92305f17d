"""Results of very many fits: a row for each fit in every table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from ._check import check_choice
from ._references import TITLES

CONVERGED = "converged"
SHOWN = 6  # reasons in a summary
STATISTICS = {
    "params": "estimate",
    "bse": "std_error",
    "tvalues": "statistic",
    "df": "df",
    "pvalues": "p_value",
}


@dataclass(frozen=True, repr=False, eq=False)
class FitMany:
    """Fits of many responses, or many data sets, by one formula; made by `fit_many` and `fit_by`.

    Every table has a row for each of them, in the order given, whether it could be fitted or not. Each is
    fitted by itself: no estimate is moderated by, or borrows from, any other.

    Attributes
    ----------
    formula, reml, ddf
        What was asked for.
    params, bse, tvalues, df, pvalues
        Fixed effects, their standard errors and t tests, a column for each term.
    varcorr
        Standard deviations, correlations and sigma, in units of the response, a column for each.
    theta
        Relative covariance parameters.
    criterion
        -2 log likelihood, restricted if `reml`.
    nobs, n_dropped
        Rows fitted, and rows left out for missing values.
    singular
        Whether a variance is zero or a correlation perfect.
    status
        "converged", and then, after a colon, which terms were left out as linear combinations of others; or
        why there are no estimates, which are NaN; or why they are in doubt.
    """

    formula: str
    reml: bool
    ddf: str
    params: pd.DataFrame
    bse: pd.DataFrame
    tvalues: pd.DataFrame
    df: pd.DataFrame
    pvalues: pd.DataFrame
    varcorr: pd.DataFrame
    theta: pd.DataFrame
    criterion: pd.Series
    nobs: pd.Series
    n_dropped: pd.Series
    singular: pd.Series
    status: pd.Series

    def __len__(self) -> int:
        return len(self.status)

    @property
    def failures(self) -> dict[str, int]:
        """How many did not converge or could not be fitted, by status, most frequent first."""
        failed = self.status[~self.status.str.startswith(CONVERGED)]
        return dict(Counter(failed).most_common())

    def to_frame(self, adjust: str | None = None) -> pd.DataFrame:
        """Return a row for each fit and term.

        Parameters
        ----------
        adjust
            `"bh"` adds `p_adjusted`: the p values of each term, adjusted for the false discovery rate by
            Benjamini and Hochberg's procedure. Fits without a p value do not count.

        Returns
        -------
        pandas.DataFrame
            `response` (or the name of the column that tells data sets apart), `term`, `estimate`,
            `std_error`, `statistic`, `df`, `p_value` and, if asked for, `p_adjusted`.

        References
        ----------
        Benjamini & Hochberg (1995), doi:10.1111/j.2517-6161.1995.tb02031.x.
        """
        check_choice("adjust", adjust, (None, "bh"))
        (R, p), index = self.params.shape, self.status.index
        table = {index.name: index.repeat(p), "term": np.tile(self.params.columns.to_numpy(object), R)}
        table |= {column: self._values(name).reshape(-1) for name, column in STATISTICS.items()}
        if adjust:
            table["p_adjusted"] = benjamini_hochberg(self._values("pvalues")).reshape(-1)
        return pd.DataFrame(table)

    def glance(self) -> pd.DataFrame:
        """Return a row for each fit: variance components, criterion, sizes, `singular` and `status`."""
        columns = [self.criterion, self.nobs, self.n_dropped, self.singular, self.status]
        return pd.concat([self.varcorr, *columns], axis=1)

    def summary(self) -> str:
        """Say how many converged, are singular, or failed, and by what."""
        failures, title = self.failures, "REML" if self.reml else "maximum likelihood"
        lines = [
            f"{len(self)} fits of {self.formula} by {title}, {TITLES[self.ddf]} tests",
            f"  converged {len(self) - sum(failures.values())}, of which singular "
            f"{int((self.singular & self.status.str.startswith(CONVERGED)).sum())}",
        ]
        lines += [f"  {count} failed: {reason}" for reason, count in list(failures.items())[:SHOWN]]
        rest = list(failures.values())[SHOWN:]
        if rest:
            lines.append(f"  {sum(rest)} failed for {len(rest)} other reasons, see status")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.summary()

    def _values(self, name: str) -> np.ndarray:
        return getattr(self, name).to_numpy()


def joined_many(pieces: Sequence[FitMany]) -> FitMany:
    """Put pieces one after another; a term that some of them do not have is NaN there."""
    if len(pieces) == 1:
        return pieces[0]
    first, tables = pieces[0], {}
    for field in fields(FitMany)[3:]:
        tables[field.name] = pd.concat([getattr(piece, field.name) for piece in pieces])
    return FitMany(first.formula, first.reml, first.ddf, **tables)


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Return min over j >= i of m p_(j) / j for the i-th smallest of m p values of each column; NaN stays."""
    order = np.argsort(p, axis=0)  # NaN last
    ranked, counted = np.take_along_axis(p, order, 0), np.sum(~np.isnan(p), axis=0)
    scaled = ranked * counted / np.arange(1, len(p) + 1)[:, None]
    scaled = np.fmin.accumulate(scaled[::-1], axis=0)[::-1]
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.where(np.isnan(ranked), np.nan, np.minimum(scaled, 1.0)), 0)
    return adjusted
