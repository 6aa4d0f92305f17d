"""Frozen dataclasses that JAX takes for trees of arrays.

Equinox's modules do more, and looking up an attribute of one costs ten times as much, a third of the time of
a small fit. `__post_init__` checks what a user builds; it is passed over when JAX puts a tree together again,
whose leaves may be anything.
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
        if hasattr(cls, "__post_init__"):
            _register(cls)
        else:
            jax.tree_util.register_dataclass(cls)

    def __repr__(self) -> str:
        return eqx.tree_pformat(self)


def _register(cls: Any) -> None:
    """Register a class whose instances JAX makes without calling it."""
    is_static = {field.name: field.metadata.get("static", False) for field in dataclasses.fields(cls)}
    arrays = [name for name, own in is_static.items() if not own]
    others = [name for name, own in is_static.items() if own]
    keys = [jax.tree_util.GetAttrKey(name) for name in arrays]

    def flatten(node: Node) -> tuple[list[Any], tuple[Any, ...]]:
        return [getattr(node, name) for name in arrays], tuple(getattr(node, name) for name in others)

    def flatten_with_keys(node: Node) -> tuple[list[Any], tuple[Any, ...]]:
        children, rest = flatten(node)
        return list(zip(keys, children, strict=True)), rest

    def unflatten(rest: tuple[Any, ...], children: Any) -> Node:
        node = object.__new__(cls)
        vars(node).update(zip(arrays + others, (*children, *rest), strict=True))
        return node

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
