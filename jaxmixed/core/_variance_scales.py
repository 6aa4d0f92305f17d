"""Variance parameters on the scales people read: variances, or standard deviations and correlations.

    Sigma = sigma^2 Lambda Lambda',     sd_i = sqrt(Sigma_ii),     corr_ij = Sigma_ij / (sd_i sd_j)

with standard errors by the delta method. Theory has no normal distribution on the boundary: where a
covariance matrix is singular, its parameters' standard errors are NaN.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ._covariance import Blocks, covariances, positions, split
from ._inference import VarianceParameters
from ._types import Array, Scalar, Theta, namespace, pad

SINGULAR = 1e-4  # diagonal element of Lambda below which lme4 calls a covariance matrix singular
Scale = Literal["theta", "varcov", "sdcor"]


class Scaled(NamedTuple):
    """Variance parameters on one scale.

    Attributes
    ----------
    values
        In the order of theta, and last sigma or sigma^2, shape (k + 1,). A correlation with a zero
        standard deviation is NaN.
    vcov
        Their asymptotic covariance, shape (k + 1, k + 1); NaN for parameters on the boundary.
    """

    values: Float[Array, " m"]
    vcov: Float[Array, "m m"]


def on_scale(parameters: VarianceParameters, blocks: tuple[Blocks, ...], scale: Scale) -> Scaled:
    """Carry (theta, sigma) and their covariance over to another scale.

    Parameters
    ----------
    parameters
        `variance_parameters(theta, stats)`.
    blocks
        `stats.blocks`.
    scale
        `"theta"` as they are, `"varcov"` variances, covariances and sigma^2, `"sdcor"` standard
        deviations, correlations and sigma; all in units of y.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed import core
    >>> group = np.repeat(np.arange(4), 3)
    >>> y, ones = np.array([1.0, 2, 3, 7, 8, 9, 4, 5, 7, 2, 1, 2]), np.ones((12, 1))
    >>> stats = core.suffstats(core.Design(y, ones, (core.RandomTerm(ones, group, 4, (1,)),)))
    >>> parameters = core.variance_parameters(np.array([2.72]), stats)
    >>> core.on_scale(parameters, stats.blocks, "sdcor").values.round(2)
    array([2.94, 1.08])
    """
    theta, sigma = parameters.values[:-1], parameters.values[-1]
    values, jacobian = parameters.values, namespace(theta, sigma).eye(len(theta) + 1, dtype=theta.dtype)
    if scale != "theta":
        values, jacobian = _variances(theta, sigma, blocks)
    if scale == "sdcor":
        values, slope = deviations(values, blocks)
        jacobian = slope @ jacobian
    xp = namespace(values)
    lost = xp.concatenate([_on_boundary(theta, blocks), xp.zeros(1, bool)])
    vcov = jacobian @ parameters.vcov @ jacobian.T
    return Scaled(values, xp.where(lost[:, None] | lost[None, :], xp.nan, vcov))


def standard_deviations(theta: Theta, sigma: Scalar, blocks: tuple[Blocks, ...]) -> Float[Array, " m"]:
    """Return standard deviations and correlations in theta's order, and sigma."""
    return deviations(_variances(theta, sigma, blocks)[0], blocks)[0]


def _variances(theta: Theta, sigma: Scalar, blocks: tuple[Blocks, ...]):
    xp = namespace(theta, sigma)
    psi, slopes = covariances(theta, blocks)
    one = xp.ones(1, theta.dtype)
    values = sigma**2 * xp.concatenate([psi, one])
    by_sigma = 2 * sigma * xp.concatenate([psi, one])
    return values, xp.concatenate([sigma**2 * pad(slopes, ((0, 1), (0, 0))), by_sigma[:, None]], axis=1)


def deviations(variances: Float[Array, " m"], blocks: tuple[Blocks, ...]):
    """Return standard deviations, correlations and sigma from (co)variances, with the Jacobian."""
    xp, m = namespace(variances), len(variances)
    row, column = variance_positions(blocks)
    single = row == column
    sd = xp.sqrt(xp.where(single & (variances > 0), variances, 0.0))
    safe = xp.where(sd > 0, sd, xp.nan)
    e = np.eye(m, dtype=variances.dtype)
    d_sd = e / (2 * safe)[:, None]
    corr = variances / (safe[row] * safe[column])
    d_corr = (e - (corr * safe[column])[:, None] * d_sd[row] - (corr * safe[row])[:, None] * d_sd[column]) / (
        safe[row] * safe[column]
    )[:, None]
    return xp.where(single, sd, corr), xp.where(single[:, None], d_sd, d_corr)


def variance_positions(blocks: tuple[Blocks, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each (co)variance and sigma^2, where the variances of its two effects are listed."""
    rows, columns, first = [], [], 0
    for b in blocks:
        row, column = positions(b)
        place = {int(r): first + i for i, (r, c) in enumerate(zip(row, column, strict=True)) if r == c}
        rows += [place[int(r)] for r in row]
        columns += [place[int(c)] for c in column]
        first += len(row)
    return np.array([*rows, first]), np.array([*columns, first])


def _on_boundary(theta: Theta, blocks: tuple[Blocks, ...]) -> Bool[Array, " k"]:
    """Tell which parameters belong to a singular covariance matrix."""
    xp, pieces = namespace(theta), []
    for piece, b in zip(split(theta, blocks), blocks, strict=True):
        row, column = positions(b)
        block = np.repeat(np.arange(len(b)), b)[row]
        zero = (row == column) & (xp.abs(piece) < SINGULAR)
        pieces.append((zero[None, :] & (block[:, None] == block[None, :])).any(1))
    return xp.concatenate(pieces)
