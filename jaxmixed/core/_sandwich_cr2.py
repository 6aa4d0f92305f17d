"""CR2: residuals adjusted so that the sandwich is unbiased, many clusters of equal size at a time.

    A_j = D_j'(D_j B_j D_j')^{+1/2} D_j,     V_j = D_j'D_j,     B_j = V_j - X_j M X_j'

(Pustejovsky & Tipton 2018, doi:10.1080/07350015.2016.1247004) is the same for every root D_j of V_j. In
whitened rows P_j = D_j'^-1 X_j U, with M = U U', C_j = D_jD_j' and K_j = I - P_jP_j',

    D_j B_j D_j' = C_j K_j C_j,     D_j A_j D_j^-1 P_j = K_j^{-1/2} O_j'P_j

where O_j is orthogonal, the polar factor of C_j K_j^{1/2}, so that no product squares the condition of V_j.
An eigenvalue 0 of K_j is a combination of the cluster's rows that beta fits exactly; there the residual is
zero and needs no adjustment.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ._conditioning import ROUNDING, Conditioned
from ._design import RandomTerm
from ._types import Codes

BATCH = 2**22  # elements of the matrices n_j x n_j that are worked on together: 32 MiB


class Influence(NamedTuple):
    """What clusters say about gamma = R beta.

    With E_j = M X_j'V_j^-1 A_j, of p rows, and any U with U U' = M:

    Attributes
    ----------
    gamma
        E_j r_j, shape (J, p).
    own
        E_j V_j E_j', shape (J, p, p).
    shared
        E_j X_j U, shape (J, p, p).
    """

    gamma: Float[np.ndarray, "J p"]
    own: Float[np.ndarray, "J p p"]
    shared: Float[np.ndarray, "J p p"]


def cr2(
    Qr: Float[np.ndarray, "n c"],
    prepared: Conditioned,
    factors: list[Float[np.ndarray, "q q"]],
    M: Float[np.ndarray, "p p"],
    cluster: Codes,
    J: int,
) -> Influence:
    """Return the influence of clusters 0, ..., J - 1 with A_j of CR2.

    Parameters
    ----------
    Qr
        [Q r], Q and the residuals of u, shape (n, c).
    prepared, factors
        The design and the relative covariance factors, in conditioned coordinates.
    M
        (Q'V^-1Q)^-1, shape (p, p).
    cluster, J
        Cluster of each row, and their number.
    """
    U, w = np.linalg.cholesky(M), prepared.root_weights
    # V >= I and Q'Q = I make |M| the condition of Q'V^-1Q, hence eps |M| the error of P_jP_j'.
    tolerance = ROUNDING * np.finfo(Qr.dtype).eps * np.trace(M)
    influence = Influence(*(np.empty((J, *shape), Qr.dtype) for shape in [U.shape[:1], U.shape, U.shape]))
    for j, rows in _batches(cluster):
        G = [_columns(term, factor, rows) for term, factor in zip(prepared.terms, factors, strict=True)]
        root, white = _whiten(np.concatenate(G, axis=-1), Qr[rows], w is None)
        P, r = white[..., :-1] @ U, white[..., -1:]
        # CR2 refers to rows that have not been multiplied by root weights: their D is root' W^-1/2.
        C = root.mT @ (root if w is None else root / w[rows, None] ** 2)
        half = U @ _adjusted(C, P, tolerance).mT
        influence.gamma[j] = (half @ r)[..., 0]
        influence.own[j] = half @ half.mT
        influence.shared[j] = half @ P
    return influence


def _adjusted(C: Float[np.ndarray, "b m m"], P: Float[np.ndarray, "b m p"], tolerance: float):
    """Return K^{+1/2} O'P, O the polar factor of C K^{1/2}; eigenvalues of K within tolerance are zero."""
    E, s, _ = np.linalg.svd(P, full_matrices=False)
    left = (1 - s**2)[:, None]
    root = np.sqrt(np.where(left > tolerance, left, 0))
    B, _, W = np.linalg.svd(C - (C @ E * (1 - root)) @ E.mT)
    P = W.mT @ (B.mT @ P)
    # Zeros stay: what they multiply cancels.
    return P + (E * (1 / np.where(root > 0, root, 1) - 1)) @ (E.mT @ P)


def _whiten(G: Float[np.ndarray, "b m g"], Qr: Float[np.ndarray, "b m c"], rotate: bool):
    """Return D' and D'^-1 [Q r], D' the symmetric root of I + G G', of rows rotated to be few if allowed."""
    if rotate and G.shape[1] > G.shape[2] + Qr.shape[2]:
        # The rows that become zero have V_j = B_j = A_j = I and add nothing.
        G, Qr = np.split(np.linalg.qr(np.concatenate([G, Qr], axis=-1), mode="r"), [G.shape[2]], axis=-1)
    E, s, _ = np.linalg.svd(G, full_matrices=False)
    grow = np.sqrt(1 + s**2)[:, None]
    root = np.eye(G.shape[1], dtype=G.dtype) + (E * (grow - 1)) @ E.mT
    return root, Qr - (E * (1 - 1 / grow)) @ (E.mT @ Qr)


def _columns(term: RandomTerm, factor, rows) -> Float[np.ndarray, "b m g"]:
    """Return Z_j Lambda of each cluster of a batch, the effects of a level side by side."""
    key = term.n_levels * np.arange(len(rows))[:, None] + term.codes[rows]
    level = np.unique(key, return_inverse=True)[1].reshape(rows.shape)
    number = (level - level.min(1, keepdims=True))[..., None]
    z = (term.z[rows] @ factor)[:, :, None]
    return ((number == np.arange(number.max() + 1))[..., None] * z).reshape(*rows.shape, -1)


def _batches(cluster: Codes) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield some clusters of equal size, shape (b,), and the numbers of their rows, shape (b, m)."""
    sizes, order = np.bincount(cluster), np.argsort(cluster, kind="stable")
    first = np.cumsum(sizes) - sizes
    for size in np.unique(sizes):
        clusters, step = np.flatnonzero(sizes == size), max(1, BATCH // size**2)
        for some in np.split(clusters, np.arange(step, len(clusters), step)):
            yield some, order[first[some][:, None] + np.arange(size)]
