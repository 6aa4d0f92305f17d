"""Laying out a balanced design: its strata, and what of a response lies in each."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ._design import RandomTerm
from ._partitions import Partition, shared
from ._plan import Plan, Products
from ._products import term_products
from ._strata import Strata
from ._structure import Levels
from ._types import Array, namespace, segment_sum

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
    divisor, root
        Of each level, its rows times the covariate of that term, and the root of their number.
    around
        Each coarser factor's position, and its level of each level of this factor.
    """

    term: int
    classes: Int[np.ndarray, " J"]
    divisor: Float[np.ndarray, "K 1"]
    root: Float[np.ndarray, "K 1"]
    around: tuple[tuple[int, Int[np.ndarray, " K"]], ...]


class Balanced(NamedTuple):
    """The strata of a design.

    Attributes
    ----------
    factors
        One for each stratum, coarser ones before those that refine them.
    places
        Position among `factors` of each stratum of `Strata`.
    degrees, sizes
        As in `Strata`.
    """

    factors: tuple[Factor, ...]
    places: tuple[int, ...]
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
            sums, K = products[factor.term][:, 0], len(factor.root)
            if K == 1:
                sums = sums.sum(0, keepdims=True)
            elif K < len(sums):
                sums = segment_sum(sums, factor.classes, K)
            own = sums / factor.divisor.astype(sums.dtype, copy=False)
            for coarser, level in factor.around:
                own = own - (effects[coarser] if len(effects[coarser]) == 1 else effects[coarser][level])
            effects.append(own)
            roots.append(own * factor.root.astype(sums.dtype, copy=False))
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
    found = [Partition.of(np.asarray(term.codes), term.n_levels) for term in terms]
    if any(a.equals(b) for at, a in enumerate(found) for b in found[:at]):
        return None
    at = 1
    while at < len(found):
        for other in range(at):
            common = shared(found[at], found[other])
            if common is None or len(found) == MOST:
                return None
            if not any(common.equals(known) for known in found):
                found.append(common)
        at += 1
    return _strata_of(terms, found)


def _is_balanced_intercept(term: RandomTerm) -> bool:
    if namespace(term.z) is not np or term.z.shape[1] != 1:
        return False
    rows, z = np.bincount(np.asarray(term.codes), minlength=term.n_levels), term.z[:, 0]
    alike = (z == z[0]).all() or (np.abs(z - z[0]) <= ALIKE * abs(z[0])).all()
    return bool(alike and z[0] != 0 and (rows == rows[0]).all())


def _strata_of(terms: tuple[RandomTerm, ...], partitions: list[Partition]) -> Balanced:
    """Count the dimensions of each stratum."""
    n, T = len(partitions[0].codes), len(terms)
    in_order = sorted(partitions, key=lambda partition: partition.size)
    refined = [[own.refines(other) for other in in_order] for own in in_order]
    places = tuple(next(at for at, own in enumerate(in_order) if own is part) for part in partitions)
    factors: list[Factor] = []
    degrees: list[int] = []
    sizes = np.zeros((len(partitions), T))
    for place, own in enumerate(in_order):
        around = [at for at in range(place) if refined[place][at]]
        inner = [t for t in range(T) if refined[places[t]][place]]
        degrees.append(own.size - sum(degrees[at] for at in around))
        for t in inner:
            sizes[place, t] = n / terms[t].n_levels * float(terms[t].z[0, 0]) ** 2
        term = next((t for t in inner if places[t] == place), inner[0])
        classes = partitions[term].of_classes(own)
        rows = np.bincount(classes, minlength=own.size)[:, None] * (n / terms[term].n_levels)
        divisor, root = rows * float(terms[term].z[0, 0]), np.sqrt(rows)
        outside = tuple((at, own.of_classes(in_order[at])) for at in around)
        factors.append(Factor(term, classes, divisor, root, outside))
    return Balanced(tuple(factors), places, np.array(degrees, float)[list(places)], sizes[list(places)])
