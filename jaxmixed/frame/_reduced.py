"""Rows that were read in batches and let go: what is still known of them, and what is not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ._errors import DataError
from ._explained import Variances

if TYPE_CHECKING:
    from ._data import ModelFrame


@dataclass(frozen=True, eq=False)
class Reduced:
    """What the rows of `ModelFrame.design`, which stand for those read, do not say themselves.

    Attributes
    ----------
    n
        Number of rows read and kept.
    constant
        What a column of ones is in the rows of the design, shape (m,).
    R, squares
        Without the weights, columns M = V R of the model and V'V over the rows read.
    constant_place, fixed_places, random_places
        Where ones, the fixed effects and the z's of each grouping factor are among the columns of M.
    """

    n: int
    constant: np.ndarray
    R: np.ndarray
    squares: np.ndarray
    constant_place: int
    fixed_places: np.ndarray
    random_places: tuple[np.ndarray, ...]

    def variances(self, beta: np.ndarray, factors: Sequence[np.ndarray], sigma: float) -> Variances:
        """Return the variance that each part of the model adds to a row, as `variances` does."""
        ones = self.R[:, self.constant_place]
        fitted = self.R[:, self.fixed_places] @ beta
        fitted = fitted - ones * (ones @ self.squares @ fitted) / self.n
        fixed = float(fitted @ self.squares @ fitted) / (self.n - 1)
        random = 0.0
        for places, factor in zip(self.random_places, factors, strict=True):
            effects = self.R[:, places] @ factor
            random += float((effects * (self.squares @ effects)).sum()) / self.n
        return Variances(fixed, sigma**2 * random, sigma**2)


def require_rows(frame: "ModelFrame", what: str, remedy: str = "fit a data frame") -> None:
    """Check that the rows that were fitted are still there.

    Raises
    ------
    DataError
        If they were read in batches, of which only sums are kept.
    """
    if frame.reduced is not None:
        raise DataError(
            f"{what} needs the rows that were fitted, and of rows read in batches only sums are kept; "
            f"expected a fit that has its rows, so {remedy}."
        )


def variances_of(frame: "ModelFrame", beta: np.ndarray, factors: list[np.ndarray], sigma: float) -> Variances:
    """Return the variance that each part of a model adds to a row, rows being at hand or not."""
    from ._explained import variances

    if frame.reduced is not None:
        return frame.reduced.variances(beta, factors, sigma)
    return variances(frame.design, beta, factors, sigma)


def response_sums(frame: "ModelFrame") -> np.ndarray:
    """Return sums over rows of w, w y and w y^2, y less its offset."""
    design, ones = frame.design, constant_of(frame)
    y = design.y if design.offset is None else design.y - design.offset
    root = 1.0 if design.weights is None else np.sqrt(design.weights)
    return np.array([((root * a) * (root * b)).sum() for a, b in ((ones, ones), (ones, y), (y, y))])


def constant_of(frame: "ModelFrame") -> np.ndarray:
    """Return a column of ones for the rows of a design."""
    return np.ones(len(frame.design.y)) if frame.reduced is None else frame.reduced.constant
