"""What every layout of grouping factors must answer: a structure but for the response."""

import abc
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from ._design import RandomTerm
from ._products import term_products
from ._structure import Levels, Structure
from ._types import Array

Products = tuple[Float[Array, "*batch J q m"], ...]


@dataclass(frozen=True)
class Plan(abc.ABC):
    """All of a structure that does not depend on y: built once, used for every response.

    A plain class, not a pytree: it holds level codes and decisions, made outside of any trace.
    """

    Q: Float[Array, "n p"]

    @cached_property
    def fixed(self) -> Products:
        """Z'Q of every factor."""
        return self.products(self.Q)

    def attach(self, V: Float[Array, "n c"]) -> Levels:
        """Take the cross products with the columns V = [X y]."""
        return self.levels(self.products(V))

    @abc.abstractmethod
    def products(self, V: Float[Array, "n m"]) -> Products:
        """Return Z'V of every factor, in an order of the plan's own."""

    @abc.abstractmethod
    def levels(self, products: Products) -> Levels:
        """Put products with [X y] in their place; leading axes, those of several responses, stay."""

    def arranged(self, by_term: Products) -> Products:
        """Bring Z'V of every term, levels in their own order, into the order of the plan."""
        return by_term

    def merge(self, products: Products) -> Structure:
        """Do as `levels` for one response, levels that repeat being merged."""
        return self.levels(products)

    def merge_many(self, fixed: Products, own: Products) -> Structure:
        """Do as `merge` for [X y] with every y of several, given Z'X and Z'y, one column of it a response."""
        return self.levels(side_by_side(fixed, own))


def side_by_side(fixed: Products, own: Products) -> Products:
    """Return Z'[X y] of R responses, shapes (R, J, q, c), from Z'X and Z'y of shapes (J, q, p), (J, q, R)."""
    joined = []
    for shared, each in zip(fixed, own, strict=True):
        whole = np.empty((each.shape[-1], *shared.shape[:-1], shared.shape[-1] + 1), each.dtype)
        whole[..., :-1] = shared
        whole[..., -1] = np.moveaxis(each, -1, 0)
        joined.append(whole)
    return tuple(joined)


@dataclass(frozen=True)
class OrderedPlan(Plan):
    """Factors in an order of the plan's own.

    Attributes
    ----------
    terms
        The factors in that order.
    order
        Position of each among the terms of the design.
    """

    terms: tuple[RandomTerm, ...]
    order: tuple[int, ...]

    def products(self, V: Float[Array, "n m"]) -> Products:
        return tuple(term_products(term, V) for term in self.terms)

    def arranged(self, by_term: Products) -> Products:
        return tuple(by_term[t] for t in self.order)


def largest_first(terms: tuple[RandomTerm, ...]) -> tuple[int, ...]:
    """Return the positions of the terms, in decreasing number of levels."""
    return tuple(sorted(range(len(terms)), key=lambda t: -terms[t].n_levels))
