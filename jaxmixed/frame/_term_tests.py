"""Joint tests of fixed effects: any linear hypotheses, and the analysis of variance of the model's terms."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ._check import check_choice
from ._contrasts import AnovaType, term_contrasts
from ._fitted import FittedModel
from ._hypotheses import hypotheses
from ._references import TITLES, reference, reference_notes
from ._summary import format_p


@dataclass(frozen=True, repr=False)
class WaldTest:
    """A joint F test of linear hypotheses, with a t test of each.

    Attributes
    ----------
    statistic, df_num, df_den, p_value
        The F statistic, its degrees of freedom and p value; a chi-square over `df_num` if `df_den` is
        infinite.
    table
        `estimate`, `null_value`, `std_error`, `df`, `statistic`, `p_value` of each hypothesis.
    ddf
        The method.
    notes
        What the method could not know, in sentences.
    """

    statistic: float
    df_num: int
    df_den: float
    p_value: float
    table: pd.DataFrame
    ddf: str
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        p = format_p(self.p_value)
        return "\n".join(
            [
                f"F({self.df_num}, {self.df_den:.2f}) = {self.statistic:.4f}, "
                f"p {p if p.startswith('<') else '= ' + p} ({TITLES[self.ddf]})",
                "",
                self.table.to_string(),
                *self.notes,
            ]
        )


def wald_test(fit: FittedModel, L: Any, ddf: str) -> WaldTest:
    """Test the hypotheses that a matrix or a text states."""
    asked = hypotheses(L, fit.frame.fixed_names)
    tests = reference(fit, ddf)
    single, joint = tests.t_test(asked.matrix, asked.values), tests.f_test(asked.matrix, asked.values)
    table = pd.DataFrame(
        {
            "estimate": single.estimate,
            "null_value": asked.values,
            "std_error": single.std_error,
            "df": single.df,
            "statistic": single.statistic,
            "p_value": single.p_value,
        },
        index=list(asked.labels),
    )
    numbers = float(joint.statistic), int(joint.df_num), float(joint.df_den), float(joint.p_value)
    return WaldTest(*numbers, table, ddf, reference_notes(fit, ddf))


def anova_table(fit: FittedModel, type: AnovaType, ddf: str) -> pd.DataFrame:
    """Test every term of the fixed part by F."""
    check_choice("type", type, (1, 2, 3))
    tests, variance = reference(fit, ddf), float(fit._estimates.sigma) ** 2
    rows = {}
    for term, L in term_contrasts(fit.frame, type).items():
        if not len(L):  # all its columns are linear combinations of others
            rows[term] = (np.nan, np.nan, 0, np.nan, np.nan, np.nan)
            continue
        test = tests.f_test(L)
        mean_sq = float(test.statistic / test.scale) * variance
        numbers = float(test.df_den), float(test.statistic), float(test.p_value)
        rows[term] = (mean_sq * int(test.df_num), mean_sq, int(test.df_num), *numbers)
    names = ["sum_sq", "mean_sq", "num_df", "den_df", "statistic", "p_value"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=names).rename_axis("term")
    table = table.astype(dict.fromkeys(names, float) | {"num_df": int})
    table.attrs.update(type=type, ddf=ddf, notes=reference_notes(fit, ddf))
    return table
