"""The printed result: what was fitted, how, to what, and what came out."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ._html import html_table
from ._monte_carlo import iterative, worst
from ._references import TITLES
from ._tidy import tidy

if TYPE_CHECKING:
    from ._result import LmerResult

ALPHA = 0.05  # one less the coverage of the intervals shown

DIGITS = 4  # significant ones of the smallest entry of a column
MOST_DECIMALS = 8
TO_THE_LEFT = ("Group", "Term", "Corr")  # columns of names, and the triangle of correlations


@dataclass(frozen=True)
class Section:
    """A heading and the table below it, all text."""

    title: str
    table: pd.DataFrame


@dataclass(frozen=True)
class Summary:
    """A summary that prints as text and renders as HTML in a notebook."""

    title: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        width = max(len(name) for name, _ in self.facts) + 2
        lines = [self.title, ""]
        lines += [f"{name + ':':<{width}}{value}" for name, value in self.facts]
        for section in self.sections:
            lines += ["", section.title, *_text_table(section.table)]
        if self.notes:
            lines += ["", *self.notes]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        parts = [f"<h4>{escape(self.title)}</h4>", html_table(["", ""], self.facts, left=(0, 1))]
        for section in self.sections:
            head, rows = list(section.table), section.table.to_numpy().tolist()
            left = [i for i, name in enumerate(head) if name in TO_THE_LEFT]
            parts += [f"<h5>{escape(section.title)}</h5>", html_table(head, rows, left)]
        parts += [f"<p>{escape(note)}</p>" for note in self.notes]
        return f'<div class="jaxmixed-summary">{"".join(parts)}</div>'


def summarise(fit: LmerResult, ddf: str) -> Summary:
    """Collect what a reader of a mixed model wants to see first."""
    method = "REML" if fit.reml else "maximum likelihood"
    tests = tidy(fit, "fixed", ddf, ALPHA, None, None)
    kind = TITLES[ddf] if ddf == "wald" else f"t tests with {TITLES[ddf]} df"
    symbol = "z" if ddf == "wald" else "t"
    return Summary(
        title=f"Linear mixed model fitted by {method}",
        facts=_facts(fit),
        sections=(
            Section("Random effects", _random_table(fit)),
            Section(f"Fixed effects ({kind}, 95% intervals)", coefficient_table(tests, symbol)),
        ),
        notes=_notes(fit) + tests.attrs["notes"],
    )


def _facts(fit: LmerResult) -> tuple[tuple[str, str], ...]:
    frame = fit.frame
    rows = f"{fit.nobs}"
    if frame.n_dropped:
        causes = ", ".join(f"{name} {count}" for name, count in frame.dropped_by.items())
        rows += f" ({frame.n_dropped} dropped for missing values: {causes})"
    groups = ", ".join(f"{name} {count}" for name, count in fit.ngroups.items())
    name = "REML criterion" if fit.reml else "Deviance"
    facts = [("Formula", frame.formula.text), ("Rows", rows), ("Levels", groups)]
    facts.append(
        (name, f"{fit.criterion:.4f} (log likelihood {fit.llf:.4f}, AIC {fit.aic:.2f}, BIC {fit.bic:.2f})")
    )
    steps = int(fit.optimum.steps)
    ending = "converged" if fit.converged else "not converged"
    facts.append(("Optimiser", f"{ending}, {steps} step{'s' if steps > 1 else ''}"))
    solver = iterative(fit)
    if solver is not None:
        error = fit._monte_carlo
        facts.append(
            (
                "Solver",
                f"iterative, {solver.n_probes} probes; Monte Carlo error of the criterion "
                f"{float(error.criterion):.2g}, of theta at most {worst(fit):.2g} standard errors",
            )
        )
    return tuple(facts)


def _notes(fit: LmerResult) -> tuple[str, ...]:
    notes = [f"Singular fit: {what}." for what in fit.singular_terms]
    if fit.doubts is not None:
        notes.insert(0, fit.doubts)
    if fit.frame.aliased:
        notes.append(f"Left out as linear combinations of other columns: {', '.join(fit.frame.aliased)}.")
    return tuple(notes)


def _random_table(fit: LmerResult) -> pd.DataFrame:
    table = fit.varcorr()
    single = table[table["term2"].isna()]
    shown = pd.DataFrame(
        {
            "Group": single["group"].where(single["group"] != single["group"].shift(), ""),
            "Term": single["term"].fillna(""),
            "Variance": format_column(single["variance"]),
            "SD": format_column(single["sd"]),
            "Share": [f"{share:.3f}" for share in single["var_prop"]],
        }
    )
    pairs = table[table["term2"].notna()]
    if len(pairs):
        shown["Corr"] = [
            " ".join(
                f"{corr:5.2f}"
                for corr in pairs.loc[(pairs["group"] == group) & (pairs["term2"] == term), "corr"]
            )
            for group, term in zip(single["group"], single["term"], strict=True)
        ]
    return shown


def coefficient_table(tests: pd.DataFrame, statistic: str) -> pd.DataFrame:
    """Return the coefficients of a regression or mixed model as text, tested by t or z."""
    se = tests["std_error"]
    shown = {
        "Term": list(tests["term"]),
        "Estimate": format_column(tests["estimate"], se),
        "SE": format_column(se),
        "df": [f"{value:.1f}" for value in tests.get("df", [])],
        statistic: [f"{value:.2f}" for value in tests["statistic"]],
        "p": [format_p(p) for p in tests["p_value"]],
        "2.5%": format_column(tests["conf_low"], se),
        "97.5%": format_column(tests["conf_high"], se),
    }
    if "df" not in tests or np.isinf(tests["df"]).all():
        del shown["df"]
    return pd.DataFrame(shown)


def format_column(values: pd.Series, like: pd.Series | None = None) -> list[str]:
    """Format a column with the decimals that give the smallest entry of `like` four digits."""
    sizes = np.abs((values if like is None else like).to_numpy(float))
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    decimals = DIGITS - 1 - int(np.floor(np.log10(sizes.min()))) if len(sizes) else DIGITS
    if decimals > MOST_DECIMALS:
        return [f"{value:.{DIGITS}g}" for value in values]
    return [f"{value:.{max(decimals, 0)}f}" for value in values]


def format_p(p: float) -> str:
    """Format a p value: three decimals, never a bare zero."""
    if np.isnan(p):
        return "NA"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _text_table(table: pd.DataFrame) -> list[str]:
    """Lay out text columns, numbers to the right."""
    columns = []
    for name in table.columns:
        cells = [str(name), *map(str, table[name])]
        width = max(map(len, cells))
        left = name in TO_THE_LEFT
        columns.append([f"{cell:<{width}}" if left else f"{cell:>{width}}" for cell in cells])
    return ["  " + "  ".join(row).rstrip() for row in zip(*columns, strict=True)]
