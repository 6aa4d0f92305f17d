"""Every model of the reference cases, from formula and frame to lme4's answer, by REML and by ML.

How closely a number may be compared is what its case suggests. What it says nothing about follows from
theta and beta: rows and random effects are compared in standard deviations, so that numbers near zero
count for no more than others.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from references import PARAMETERS, Fitted, close, r_names, reference_fit

import jaxmixed as jm

ROWS_IN_SIGMA = 1e-5
MODES_IN_SD = 1e-4
SUMS_REL = 1e-6


class Block(NamedTuple):
    """One random term of ours: a covariance block of one grouping factor, columns first to last."""

    factor: int
    group: str
    names: tuple[str, ...]
    columns: slice


@pytest.fixture(scope="module", params=PARAMETERS)
def fitted(request) -> Fitted:
    return reference_fit(*request.param)


def blocks(fit: jm.LmerResult) -> list[Block]:
    found = []
    for factor, labels in enumerate(fit.frame.groups):
        first = 0
        for names in labels.terms:
            found.append(Block(factor, labels.name, names, slice(first, first + len(names))))
            first += len(names)
    return found


def test_the_model_is_the_same(fitted):
    case, fit = fitted.case, fitted.fit
    assert fit.nobs == case.raw["nobs"]
    assert fit.frame.n_dropped == case.raw["n_rows_dropped"]
    assert fit.ngroups == case.raw["ngroups"]
    assert r_names(fit.params.index) == case.fixef_names
    assert r_names(fit.frame.aliased) == case.raw["dropped_columns"]
    np.testing.assert_allclose(fit.frame.design.X[:5], case.raw["X_head"], rtol=1e-10, atol=1e-11)
    ours = [(block.group, r_names(block.names)) for block in blocks(fit)]
    assert ours == [(term["group"], term["coef_names"]) for term in case.random_terms]


def test_criterion(fitted):
    """The criterion is lme4's, neither above nor below, and what is computed from it too."""
    fit, truth = fitted.fit, fitted.truth
    assert fit.converged, fit.message
    found = [fit.criterion, fit.llf, fit.aic, fit.bic]
    close(
        found,
        [truth[name] for name in ("criterion", "logLik", "AIC", "BIC")],
        fitted.tolerance["criterion_abs"],
    )
    assert (fit.n_parameters, fit.df_resid) == (truth["n_par"], truth["df_residual"])
    assert fit.is_singular is truth["singular"]


def test_fixed_effects(fitted):
    fit, truth, se = fitted.fit, fitted.truth, np.array(fitted.truth["se"])
    close(fit.params, truth["beta"], fitted.tolerance["beta_in_se"], se)
    close(fit.cov_params(), truth["vcov_beta"], fitted.tolerance["vcov_rel"], np.outer(se, se))
    close(fit.bse, se, fitted.tolerance["vcov_rel"], se)
    close(
        fit.tvalues,
        truth["beta"] / se,
        fitted.tolerance["vcov_rel"],
        np.maximum(1, np.abs(truth["beta"] / se)),
    )


def test_theta(fitted):
    if fitted.truth["singular"]:
        pytest.skip("theta of a singular fit need not be unique")
    se = np.sqrt(2 * np.diag(np.linalg.inv(fitted.truth["hessian_theta"])))
    close(fitted.fit.theta, fitted.truth["theta"], fitted.tolerance["theta_in_se"], se)


def test_variance_components(fitted):
    fit, truth, tolerance = fitted.fit, fitted.truth, fitted.tolerance["varcorr_rel"]
    table = fit.varcorr()
    close(fit.sigma, truth["sigma"], tolerance, truth["sigma"])
    close(fit.scale, truth["sigma"] ** 2, tolerance, truth["sigma"] ** 2)
    single, pairs = table[table["term2"].isna()], table[table["term2"].notna()]
    close(single["var_prop"].sum(), 1, 1e-12)
    total = single["variance"].sum()
    for block, term in zip(blocks(fit), truth["varcorr"], strict=True):
        rows = single[(single["group"] == block.group) & single["term"].isin(block.names)]
        assert rows["term"].tolist() == list(block.names)
        # A variance of zero has no relative error; against sigma it has.
        close(
            rows["sd"], term["sd"], tolerance, np.where(np.array(term["sd"]) > 0, term["sd"], truth["sigma"])
        )
        close(rows["variance"], term["var"], tolerance * total, 1)
        close(rows["var_prop"], np.array(term["var"]) / total, tolerance)
        for i, one in enumerate(block.names):
            for j in range(i + 1, len(block.names)):
                of_pair = (pairs["group"] == block.group) & (pairs["term"] == one)
                row = pairs[of_pair & (pairs["term2"] == block.names[j])].iloc[0]
                close(row["corr"], term["corr"][i][j], tolerance)
                close(row["variance"], term["cov"][i][j], tolerance, term["sd"][i] * term["sd"][j])


def test_rows(fitted):
    """First rows and sums over all of fitted values, residuals and marginal predictions."""
    fit, truth = fitted.fit, fitted.truth
    head = np.array(truth["head_rows"]) - 1
    marginal = fit.predict(re="marginal")
    for found, name in (
        (fit.fittedvalues, "fitted_head"),
        (fit.resid, "resid_head"),
        (marginal, "predict_fixed_head"),
    ):
        close(found.loc[head], truth[name], ROWS_IN_SIGMA, truth["sigma"])
    sums = {
        "fitted_sum": fit.fittedvalues.sum(),
        "fitted_sum_sq": (fit.fittedvalues**2).sum(),
        "resid_sum_sq": (fit.resid**2).sum(),
        "predict_fixed_sum": marginal.sum(),
        "predict_fixed_sum_sq": (marginal**2).sum(),
    }
    for name, expected in truth["checksums"].items():
        np.testing.assert_allclose(sums[name], expected, rtol=SUMS_REL, err_msg=name)


def test_predictions_for_the_same_rows_given_anew(fitted):
    """New data go another way, through the kept coding, and come to the same."""
    fit, data = fitted.fit, fitted.case.data()
    for re_ in ("conditional", "marginal"):
        found = fit.predict(data, re=re_, new_levels="missing").iloc[fit.frame.kept]
        close(found, fit.predict(re=re_), 1e-10, fit.sigma)


def test_random_effects(fitted):
    """Conditional modes, covariances and standard errors by level, and sums over all levels."""
    fit, truth, table = fitted.fit, fitted.truth, fitted.fit.ranef()
    effects = jm.core.ranef(fit.theta, fit.sigma, jm.core.suffstats(fit.frame.design))
    for block, term in zip(blocks(fit), truth["ranef"], strict=True):
        modes, se = (_wide(table, block, values) for values in ("value", "se"))
        assert len(modes) == term["n_levels"]
        shown = [str(level) for level in term["levels"]]
        sd = np.array(term["cond_sd"])
        # Where a variance is zero, so is the standard deviation; the unit is then sigma.
        unit = np.where(sd > 1e-6 * truth["sigma"], sd, truth["sigma"])
        close(modes.loc[shown], term["mode"], MODES_IN_SD, unit)
        close(se.loc[shown], sd, fitted.tolerance["vcov_rel"], unit)
        labels = fit.frame.groups[block.factor].levels
        place = pd.Index(map(str, labels)).get_indexer(shown)
        cov = effects[block.factor].covariances[place][:, block.columns, block.columns]
        close(cov, term["cond_cov"], fitted.tolerance["vcov_rel"], unit[:, :, None] * unit[:, None, :])
        spread = np.sqrt(np.array(term["sum_sq"]) * term["n_levels"]) + truth["sigma"]
        close(modes.sum(), term["sum"], MODES_IN_SD, spread)
        close((modes**2).sum(), term["sum_sq"], MODES_IN_SD, np.array(term["sum_sq"]) + truth["sigma"] ** 2)


def test_coefficients_are_fixed_plus_random_effects(fitted):
    fit = fitted.fit
    coef, ranef = fit.coef(), fit.ranef()
    fixed = coef["effect"].map(fit.params).astype(float).fillna(0)
    np.testing.assert_allclose(coef["value"], fixed + ranef["value"], rtol=1e-12, atol=1e-12)
    variance = ranef["se"] ** 2 + coef["effect"].map(fit.bse).astype(float).fillna(0) ** 2
    np.testing.assert_allclose(coef["se"], np.sqrt(variance), rtol=1e-12)


def _wide(table: pd.DataFrame, block: Block, values: str) -> pd.DataFrame:
    """Return one term of `ranef()` with a row for each level, named by its text, a column an effect."""
    rows = table[table["group_var"] == block.group]
    wide = {name: rows.loc[rows["effect"] == name].set_index("group")[values] for name in block.names}
    return pd.DataFrame(wide).rename(index=str)


def test_explained_variance(fitted):
    """Shares of variance, for the REML fits whose shares were worked out in R."""
    shares = fitted.case.raw.get("extras", {}).get("r2")
    if shares is None or not fitted.fit.reml:
        return
    truth, rel = shares["by_hand"], fitted.tolerance["varcorr_rel"]
    np.testing.assert_allclose(fitted.fit.r2(), [truth["r2_marginal"], truth["r2_conditional"]], rel, 1e-12)
    np.testing.assert_allclose(fitted.fit.icc(), [truth["icc_adjusted"], truth["icc_unadjusted"]], rel, 1e-12)
