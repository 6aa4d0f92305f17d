"""What the plans of crossed factors have in common: one factor comes first, that with most levels."""

from dataclasses import dataclass

from jaxtyping import Float

from ._design import RandomTerm
from ._products import term_products
from ._structure import Plan, Products
from ._types import Array


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
