"""Ratings of items by users, made up in the shape of MovieLens: long tails on both sides, half-star scores.

    latent = MEAN + u_user + v_item + e,     u ~ N(0, USER^2), v ~ N(0, ITEM^2), e ~ N(0, RESIDUAL^2)
    score  = latent, rounded to half steps and kept within 0.5 and 5

Users draw items by popularity and draw again what they have drawn before, so that nobody rates an item
twice. The latent response has exactly the variances above; those of the scores differ by the rounding.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

MEAN, USER, ITEM, RESIDUAL = 3.5, 0.4, 0.5, 0.85
SHAPES = {
    "1M": (1_000_000, 6_000, 4_000),
    "25M": (25_000_000, 160_000, 60_000),
    "32M": (32_000_000, 200_948, 84_432),
}
FEWEST = 20  # ratings of a user, where there are twice as many on average
USER_SPREAD, ITEM_SPREAD = 1.2, 2.0  # standard deviations of the logarithms of counts
AT_ONCE = 2**21  # rows drawn together
POPULAR_ROUNDS = 8  # draws by popularity; what then still repeats is drawn from all items alike


@dataclass(frozen=True)
class Ratings:
    """One rating a row, sorted by user: codes of shape (n,), scores, and the response before rounding."""

    user: np.ndarray
    item: np.ndarray
    score: np.ndarray
    latent: np.ndarray

    def frame(self, response: str = "latent") -> pd.DataFrame:
        """Return columns y, user and item."""
        return pd.DataFrame({"y": getattr(self, response), "user": self.user, "item": self.item}, copy=False)


def ratings(n_rows: int, n_users: int, n_items: int, seed: int) -> Ratings:
    """Make ratings in which every user and every item occurs."""
    rng = np.random.default_rng(seed)
    counts = _user_counts(n_rows, n_users, n_items, rng)
    cumulated = np.cumsum(_popularity(n_rows, n_users, n_items, rng))
    user = np.repeat(np.arange(n_users, dtype=np.int32), counts)
    item = np.empty(n_rows, np.int32)
    ends = np.cumsum(counts)
    first = 0
    while first < n_rows:
        # Whole users, as many as there are in AT_ONCE rows, and one at least.
        last = ends[
            max(np.searchsorted(ends, first + AT_ONCE, "right") - 1, np.searchsorted(ends, first, "right"))
        ]
        item[first:last] = _distinct(user[first:last], cumulated, rng)
        first = last
    _use_every_item(item, n_items, rng)
    latent = rng.normal(0, RESIDUAL, n_rows)
    latent += (MEAN + rng.normal(0, USER, n_users))[user]
    latent += rng.normal(0, ITEM, n_items)[item]
    score = np.clip(np.round(2 * latent) / 2, 0.5, 5.0).astype(np.float32)
    return Ratings(user, item, score, latent)


def _user_counts(n_rows: int, n_users: int, n_items: int, rng: np.random.Generator) -> np.ndarray:
    """Return how many items each user rates: lognormal above the fewest, and the sum as asked for."""
    fewest, most = min(FEWEST, n_rows // n_users // 2), n_items // 4
    if not 2 * n_users <= n_rows <= n_users * most:
        raise ValueError(
            f"Found {n_rows} rows for {n_users} users and {n_items} items; expected at least two rows a user "
            f"and at most {most} on average."
        )
    share = np.exp(USER_SPREAD * rng.normal(size=n_users))
    counts = np.full(n_users, fewest)
    while (left := n_rows - counts.sum()) > 0:
        share *= counts < most
        counts += rng.multinomial(left, share / share.sum())
        counts = np.minimum(counts, most)
    return counts


def _popularity(n_rows: int, n_users: int, n_items: int, rng: np.random.Generator) -> np.ndarray:
    """Return the probability that a rating is of each item: lognormal, at most half of the users' first."""
    weight = np.exp(ITEM_SPREAD * rng.normal(size=n_items))
    weight = np.minimum(weight / weight.sum(), n_users / (2 * n_rows))
    return weight / weight.sum()


def _distinct(user: np.ndarray, cumulated: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw an item for every row, none twice for one user."""
    n_items = len(cumulated)
    cell = user.astype(np.int64) * n_items + _by_popularity(len(user), cumulated, rng)
    for turn in range(1, 1000):
        cell.sort(kind="stable")  # fast where most is sorted
        again = np.flatnonzero(cell[1:] == cell[:-1])
        if len(again) == 0:
            return cell % n_items
        popular = turn < POPULAR_ROUNDS
        drawn = (
            _by_popularity(len(again), cumulated, rng) if popular else rng.integers(n_items, size=len(again))
        )
        cell[again] = cell[again] // n_items * n_items + drawn
    raise RuntimeError("Found no distinct items in a thousand rounds; use fewer rows a user.")


def _by_popularity(m: int, cumulated: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.minimum(np.searchsorted(cumulated, rng.random(m)), len(cumulated) - 1)


def _use_every_item(item: np.ndarray, n_items: int, rng: np.random.Generator) -> None:
    """Give items that nobody rated one row each, of items that others rated too."""
    while len(missing := np.flatnonzero(np.bincount(item, minlength=n_items) == 0)):
        row = rng.choice(len(item), len(missing), replace=False)
        item[row] = missing
