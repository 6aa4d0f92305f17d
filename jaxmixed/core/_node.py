"""Frozen dataclasses that JAX takes for trees of arrays.

Equinox's modules, which `Design` is, can check what they are given; looking up an attribute of one costs ten
times as much, a third of the time of a small fit.
"""

import abc
import dataclasses
from typing import Any, dataclass_transform

import equinox as eqx
import jax


def static() -> Any:
    """Declare a field that is part of the shape of a tree, not one of its arrays: it must be hashable."""
    return dataclasses.field(metadata={"static": True})


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(static,))
class Node(metaclass=abc.ABCMeta):  # noqa: B024 - subclasses have abstract methods
    """A tree of arrays; every subclass is made a frozen dataclass, compared by identity."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)
        jax.tree_util.register_dataclass(cls)

    def __repr__(self) -> str:
        return eqx.tree_pformat(self)
