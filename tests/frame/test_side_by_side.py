"""Models side by side: the numbers of the fits, and tables that say the same in every format."""

import re
import sys

import numpy as np
import pytest

import jaxmixed as jm


@pytest.fixture(scope="module")
def table(intercept_fit, slope_fit) -> jm.Comparison:
    regression = jm.lm("Reaction ~ Days", jm.datasets.load("sleepstudy"))
    return jm.compare(regression, intercept_fit, slope_fit, names=["lm", "level", "line"])


def test_numbers_are_those_of_the_fits(table, intercept_fit, slope_fit):
    frame = table.to_frame()
    for name, fit in {"level": intercept_fit, "line": slope_fit}.items():
        fixed = frame.loc["Fixed effects", name]
        np.testing.assert_allclose(fixed["estimate"], fit.params)
        np.testing.assert_allclose(fixed["std_error"], fit.bse)
        varcorr = fit.varcorr(se=True)
        sd = frame.loc["Standard deviations and correlations", name].dropna()
        single = varcorr[varcorr["term2"].isna()]
        rows = [label for label in sd.index if not label.startswith("cor")]
        np.testing.assert_allclose(sd.loc[rows, "estimate"], single["sd"])
        np.testing.assert_allclose(sd.loc[rows, "std_error"], single["sd_se"])
        values = frame.loc["Fit", name]["estimate"]
        assert values["REML criterion"] == fit.criterion
        assert (values["AIC"], values["BIC"], values["Rows"]) == (fit.aic, fit.bic, 180)
        assert values["Levels of Subject"] == 18


def test_what_a_model_lacks_is_blank(table):
    assert np.isnan(table.table.loc[("Fit", "REML criterion"), ("lm", "estimate")])
    text = table.to_text()
    assert text.loc[("Fit", "REML criterion"), "lm"] == ""
    assert text.loc[("Standard deviations and correlations", "sd(Days | Subject)"), "level"] == ""
    assert text.loc[("Fixed effects", "Days")].tolist() == [
        "10.4673 (1.2382)",
        "10.4673 (0.8042)",
        "10.4673 (1.5458)",
    ]
    assert text.loc[("Fit", "AIC")].tolist() == ["1906.3", "1794.5", "1755.6"]


def test_text_keeps_the_order_of_parts_and_columns_in_line(table):
    lines = str(table).splitlines()
    names = [line.strip().split("  ")[0] for line in lines]
    assert names[2:8] == [
        *("Fixed effects", "Intercept", "Days", ""),
        *("Standard deviations and correlations", "sd(Intercept | Subject)"),
    ]
    assert names.index("sigma") < names.index("Fit") < names.index("AIC") < names.index("Rows")
    assert "line: Reaction ~ Days + (Days | Subject), by REML." in lines
    ends = {len(line) for line in lines if re.search(r"\(1\.\d+\)$", line)}
    assert len(ends) == 1


def test_restricted_criteria_of_other_data_are_said_not_to_compare(table, intercept_fit):
    assert any("cannot be compared" in note for note in table.notes)
    assert not any("cannot be compared" in note for note in jm.compare(intercept_fit, intercept_fit).notes)


def test_a_singular_fit_says_so(zero_variance_fit):
    assert "model 1: Yield ~ 1 + (1 | Batch), by REML; the variance of Intercept by Batch is zero." in str(
        jm.compare(zero_variance_fit)
    )


def test_every_format_has_every_cell(table):
    pytest.importorskip("great_tables")
    cells = [cell for cell in table.to_text().to_numpy().ravel() if cell]
    markdown, latex, html = table.to_markdown(), table.to_latex(), table.to_html()
    for cell in cells:
        assert cell in markdown and cell in latex and cell in html and cell in table._repr_html_()
    assert {len(re.split(r"(?<!\\)\|", line)) for line in markdown.splitlines()} == {4 + 2}
    assert r"sd(Intercept \| Subject)" in markdown
    assert latex.count(r"\\") >= len(table.table)


def test_without_great_tables_a_sentence_says_so(table, monkeypatch):
    monkeypatch.setitem(sys.modules, "great_tables", None)
    with pytest.raises(ImportError, match=r'not installed; run: pip install "jaxmixed\[tables\]"'):
        table.to_latex()


def test_wrong_calls_are_answered_in_a_sentence(intercept_fit):
    with pytest.raises(jm.DataError, match=r"jm\.compare has no fit; expected one or more results"):
        jm.compare()
    with pytest.raises(jm.DataError, match=r"Argument 2 of jm\.compare is of type int; expected a result"):
        jm.compare(intercept_fit, 3)
    with pytest.raises(jm.DataError, match=r"names is \['a', 'a'\]; expected 2 different names"):
        jm.compare(intercept_fit, intercept_fit, names=["a", "a"])
