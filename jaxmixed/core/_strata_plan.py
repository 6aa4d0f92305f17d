"""Laying out a balanced design: its strata, and what of a response lies in each."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ._design import RandomTerm
from ._products import MARKED, term_products
from ._strata import Strata
from ._structure import Levels, Plan, Products
from ._types import Array, Codes, namespace, segment_sum

MOST = 12  # factors, those included that others have in common
ALIKE = 1e-12  # relative difference of covariates that count as equal


class Factor(NamedTuple):
    """A factor of the design, or the finest that two of them refine; its stratum is what coarser ones leave.

    Attributes
    ----------
    term
        Position of a term of whose levels those of this factor consist.
    classes
        Level of this factor of each level of that term.
    rows
        Number of rows of each level.
    around
        Each coarser factor's position, and its level of each level of this factor.
    """

    term: int
    classes: Int[np.ndarray, " J"]
    rows: Float[np.ndarray, " K"]
    around: tuple[tuple[int, Int[np.ndarray, " K"]], ...]


class Balanced(NamedTuple):
    """The strata of a design.

    Attributes
    ----------
    factors
        One for each stratum, coarser ones before those that refine them.
    places
        Position among `factors` of each stratum of `Strata`.
    z
        The covariate of each term, the same in all rows.
    degrees, sizes
        As in `Strata`.
    """

    factors: tuple[Factor, ...]
    places: tuple[int, ...]
    z: tuple[float, ...]
    degrees: Float[np.ndarray, " S"]
    sizes: Float[np.ndarray, "S T"]

    def merge(self, products: Products) -> Strata:
        """Return the cross products of each stratum, given Z'[X y] of every term."""
        roots = self._roots(products)
        return self._strata(namespace(*roots).stack([roots[s].T @ roots[s] for s in self.places]))

    def merge_many(self, fixed: Products, own: Products) -> Strata:
        """Do so for each of R responses, given Z'X and Z'y."""
        p, R = fixed[0].shape[-1], own[0].shape[-1]
        G = np.empty((R, len(self.places), p + 1, p + 1), own[0].dtype)
        X, Y = self._roots(fixed), self._roots(own)
        for place, s in enumerate(self.places):
            G[:, place, :p, :p] = X[s].T @ X[s]
            G[:, place, :p, p] = G[:, place, p, :p] = Y[s].T @ X[s]
            G[:, place, p, p] = (Y[s] ** 2).sum(0)
        return self._strata(G)

    def _strata(self, G: Float[Array, "*R S c c"]) -> Strata:
        return Strata(self.degrees.astype(G.dtype), self.sizes.astype(G.dtype), G)

    def _roots(self, products: Products) -> list[Float[Array, "K m"]]:
        """Return, for each factor, what has the cross products of its stratum.

        Means of the levels, less the effects of coarser factors, times the root of the number of rows.
        """
        effects: list[Float[Array, "K m"]] = []
        roots = []
        for factor in self.factors:
            sums, K = products[factor.term][:, 0], len(factor.rows)
            sums = sums if K == len(sums) else segment_sum(sums, factor.classes, K)
            rows = factor.rows.astype(sums.dtype)[:, None]
            own = sums / (rows * self.z[factor.term])
            for coarser, level in factor.around:
                own = own - effects[coarser][level]
            effects.append(own)
            roots.append(own * np.sqrt(rows))
        return roots


@dataclass(frozen=True)
class BalancedPlan(Plan):
    """A balanced design, by strata for all that needs no single levels.

    Attributes
    ----------
    make_by_level
        Makes the plan that it would have otherwise.
    """

    terms: tuple[RandomTerm, ...]
    strata: Balanced
    make_by_level: Callable[[], Plan]

    @cached_property
    def by_level(self) -> Plan:
        """The plan that keeps levels, made when it is first needed."""
        return self.make_by_level()

    def products(self, V: Float[Array, "n m"]) -> Products:
        return tuple(term_products(term, V) for term in self.terms)

    def levels(self, products: Products) -> Levels:
        return self.by_level.levels(self.by_level.arranged(products))

    def merge(self, products: Products) -> Strata:
        return self.strata.merge(products)

    def merge_many(self, fixed: Products, own: Products) -> Strata:
        return self.strata.merge_many(fixed, own)


def balanced(terms: tuple[RandomTerm, ...]) -> Balanced | None:
    """Return the strata of a design if it is balanced, and all of its terms are intercepts."""
    if not all(map(_is_balanced_intercept, terms)):
        return None
    partitions = [np.asarray(term.codes) for term in terms]
    alike = [_canonical(own) for own in partitions]
    if any(np.array_equal(a, b) for a, b in combinations(alike, 2)):
        return None
    at = 1
    while at < len(partitions):
        for other in range(at):
            shared = _shared(partitions[at], partitions[other])
            if shared is None or len(partitions) == MOST:
                return None
            if not any(np.array_equal(shared, known) for known in alike):
                partitions.append(shared)
                alike.append(shared)
        at += 1
    return _strata_of(terms, partitions)


def _is_balanced_intercept(term: RandomTerm) -> bool:
    if namespace(term.z) is not np or term.z.shape[1] != 1:
        return False
    rows, z = np.bincount(np.asarray(term.codes), minlength=term.n_levels), term.z[:, 0]
    return bool((rows == rows[0]).all() and z[0] != 0 and (np.abs(z - z[0]) <= ALIKE * abs(z[0])).all())


def _canonical(codes: Codes) -> Int[np.ndarray, " n"]:
    """Return codes in the order in which levels occur: those of equal partitions are equal."""
    first = _first_rows(codes)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[codes]


def _first_rows(codes: Codes) -> Int[np.ndarray, " J"]:
    """Return the first row of each level; all levels occur."""
    first = np.empty(int(codes.max()) + 1, np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    return first


def _shared(a: Int[np.ndarray, " n"], b: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"] | None:
    """Return the finest partition that both refine; nothing if they do not meet in proportion within it."""
    J, K = int(a.max()) + 1, int(b.max()) + 1
    cells, rows = _counted(a.astype(np.int64) * K + b, J * K)
    if len(cells) == max(J, K):  # one refines the other
        return _canonical(b if J > K else a)
    level, other = np.divmod(cells, K)
    part = np.zeros(J, np.int64) if len(cells) == J * K else _connected(level, other, J, K)
    size = np.bincount(part[level], rows)[part[level]]
    expected = np.bincount(level, rows)[level] * np.bincount(other, rows)[other]
    return _canonical(part[a]) if (rows * size == expected).all() else None


def _counted(codes: Int[np.ndarray, " n"], most: int) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Return the codes that occur, below `most`, and how often."""
    if most > MARKED * len(codes):
        return np.unique(codes, return_counts=True)
    rows = np.bincount(codes, minlength=most)
    found = np.flatnonzero(rows)
    return found, rows[found]


def _connected(level: Int[np.ndarray, " m"], other: Int[np.ndarray, " m"], J: int, K: int) -> np.ndarray:
    """Return the class of each of J levels: those that meet a level of the other factor are in one."""
    from scipy.sparse import coo_array  # slow imports, for designs that look balanced only
    from scipy.sparse.csgraph import connected_components

    meetings = coo_array((np.ones(len(level)), (level, J + other)), shape=(J + K, J + K))
    return connected_components(meetings, directed=False)[1][:J]


def _strata_of(terms: tuple[RandomTerm, ...], partitions: list[Int[np.ndarray, " n"]]) -> Balanced:
    """Count the dimensions of each stratum."""
    n, T = len(partitions[0]), len(terms)
    first = [_first_rows(own) for own in partitions]

    def refines(fine: int, coarse: int) -> bool:
        level = partitions[coarse][first[fine]]
        return bool((level[partitions[fine]] == partitions[coarse]).all())

    by_size = sorted(range(len(partitions)), key=lambda f: len(first[f]))
    factors: list[Factor] = []
    degrees: list[int] = []
    sizes = np.zeros((len(partitions), T))
    for place, f in enumerate(by_size):
        inside = [(at, g) for at, g in enumerate(by_size[:place]) if refines(f, g)]
        around = tuple((at, partitions[g][first[f]]) for at, g in inside)
        degrees.append(len(first[f]) - sum(degrees[at] for at, _ in inside))
        inner = [t for t in range(T) if refines(t, f)]
        for t in inner:
            sizes[place, t] = n / terms[t].n_levels * float(terms[t].z[0, 0]) ** 2
        term = f if f < T else inner[0]
        factors.append(
            Factor(term, partitions[f][first[term]], np.bincount(partitions[f]).astype(float), around)
        )
    places = tuple(by_size.index(f) for f in range(len(partitions)))
    z = tuple(float(term.z[0, 0]) for term in terms)
    return Balanced(tuple(factors), places, z, np.array(degrees, float)[list(places)], sizes[list(places)])
