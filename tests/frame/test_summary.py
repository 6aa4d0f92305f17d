"""The printed result, letter by letter, and the same in HTML."""

import re

import pandas as pd
import pytest

import jaxmixed as jm


def text(fit: jm.LmerResult) -> str:
    """Return the summary as it is printed, but for the number of steps, which may change."""
    return re.sub(r"\d+ steps?", "N steps", str(fit.summary()))


SLEEPSTUDY = """\
Linear mixed model fitted by REML

Formula:        Reaction ~ Days + (Days | Subject)
Rows:           180
Levels:         Subject 18
REML criterion: 1743.6283 (log likelihood -871.8141, AIC 1755.63, BIC 1774.79)
Optimiser:      converged, N steps

Random effects
  Group     Term       Variance      SD  Share  Corr
  Subject   Intercept    612.09  24.740  0.470
            Days          35.07   5.922  0.027   0.07
  Residual               654.94  25.592  0.503

Fixed effects (t tests with Satterthwaite df, 95% intervals)
  Term       Estimate     SE    df      t       p     2.5%    97.5%
  Intercept   251.405  6.825  17.0  36.84  <0.001  237.007  265.804
  Days         10.467  1.546  17.0   6.77  <0.001    7.206   13.729"""

ZERO_VARIANCE = """\
Linear mixed model fitted by REML

Formula:        Yield ~ 1 + (1 | Batch)
Rows:           30
Levels:         Batch 6
REML criterion: 161.8283 (log likelihood -80.9141, AIC 167.83, BIC 172.03)
Optimiser:      converged, N steps

Random effects
  Group     Term       Variance     SD  Share
  Batch     Intercept      0.00  0.000  0.000
  Residual                13.81  3.716  1.000

Fixed effects (t tests with Satterthwaite df, 95% intervals)
  Term       Estimate      SE    df     t       p    2.5%   97.5%
  Intercept    5.6656  0.6784  29.0  8.35  <0.001  4.2781  7.0531

Singular fit: the variance of Intercept by Batch is zero.
Satterthwaite degrees of freedom take the variances at zero as known."""

DROPPED_ROWS = """\
Linear mixed model fitted by REML

Formula:        Reaction ~ Days + (1 | Subject)
Rows:           177 (3 dropped for missing values: Reaction 2, Days 1)
Levels:         Subject 18
REML criterion: 1752.5846 (log likelihood -876.2923, AIC 1760.58, BIC 1773.29)
Optimiser:      converged, N steps

Random effects
  Group     Term       Variance     SD  Share
  Subject   Intercept    1440.5  37.95  0.608
  Residual                929.9  30.49  0.392

Fixed effects (t tests with Satterthwaite df, 95% intervals)
  Term       Estimate      SE     df      t       p      2.5%     97.5%
  Intercept  251.8702  9.9181   22.5  25.39  <0.001  231.3293  272.4110
  Days        10.5160  0.7997  158.0  13.15  <0.001    8.9365   12.0956"""


def test_a_regular_fit(slope_fit):
    assert text(slope_fit) == SLEEPSTUDY
    assert repr(slope_fit) == str(slope_fit.summary()) == repr(slope_fit.summary())


def test_a_singular_fit_says_what_is_zero(zero_variance_fit):
    assert text(zero_variance_fit) == ZERO_VARIANCE


def test_dropped_rows_are_counted(gappy_fit):
    assert text(gappy_fit) == DROPPED_ROWS


def test_correlations_form_a_triangle(correlated_fit):
    lines = text(correlated_fit).splitlines()
    first = next(i for i, line in enumerate(lines) if "Corr" in line)
    column = lines[first].index("Corr")
    shown = [line[column:].rstrip() for line in lines[first : first + 4]]
    assert shown == ["Corr", "", " 0.42", " 0.30  0.99"]


def test_several_factors_are_listed_innermost_first(nested_fit):
    lines = text(nested_fit).splitlines()
    assert "Levels:         cask:batch 30, batch 10" in lines
    first = lines.index("Random effects") + 2
    assert [line.split()[0] for line in lines[first : first + 3]] == ["cask:batch", "batch", "Residual"]


def test_maximum_likelihood_and_left_out_columns(sleepstudy):
    data = sleepstudy.assign(Hours=24 * sleepstudy["Days"])
    with pytest.warns(jm.AliasedColumnsWarning, match="Hours"):
        fit = jm.lmer("Reaction ~ Days + Hours + (1 | Subject)", data, reml=False)
    lines = text(fit).splitlines()
    assert lines[0] == "Linear mixed model fitted by maximum likelihood"
    assert any(line.startswith("Deviance:") for line in lines)
    assert lines[-1] == "Left out as linear combinations of other columns: Hours."


def test_html_holds_the_same_tables(slope_fit):
    html = slope_fit._repr_html_()
    assert html == slope_fit.summary()._repr_html_()
    assert html.count("<table") == html.count("</table>") == 3
    for cell in ("1743.6283", "612.09", "251.405", "&lt;0.001"):
        assert cell in html


def test_html_is_escaped(sleepstudy):
    data = sleepstudy.rename(columns={"Days": "<b>days", "Subject": "who & where"})
    fit = jm.lmer("Reaction ~ `<b>days` + (1 | `who & where`)", data)
    html = fit._repr_html_()
    assert "<b>" not in html and "&lt;b&gt;days" in html
    assert "who & where" not in html and "who &amp; where" in html


def test_large_and_small_numbers_are_readable(sleepstudy):
    fit = jm.lmer("I(Reaction * 1e-12) ~ Days + (1 | Subject)", sleepstudy)
    fixed = pd.Series(text(fit).splitlines()).str.extract(r"^  Days +(\S+) +(\S+)").dropna()
    assert fixed.to_numpy().tolist() == [["1.047e-11", "8.042e-13"]]
