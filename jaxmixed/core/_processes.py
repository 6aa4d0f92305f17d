"""Fits shared among processes: each makes a part of them, and ends with all.

Fits do not depend on one another, so that nothing is exchanged before they are done. A mesh with devices of
several processes (`jax.distributed`) says which take part; each calls the same function with the same
arguments.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")


def own_devices() -> Mesh:
    """Return a mesh of all devices of this process."""
    return Mesh(np.array(jax.local_devices()), ("fits",))


def over_processes(work: Callable[[int, int, Mesh], Tree], size: int, mesh: Mesh) -> Tree:
    """Do a part of some work in each process of a mesh, and return all of it in each.

    Parameters
    ----------
    work
        Takes the first of some consecutive fits, their number, and a mesh of this process's devices; returns
        a tree of NumPy arrays, each with a leading axis of that number.
    size
        Number of fits in all, one at least.
    mesh
        Devices of one process or of several.

    Returns
    -------
    Tree
        As from `work(0, size, mesh)`: the same to the last bit, if a fit does not depend on the others.

    Raises
    ------
    ValueError
        If no device of the mesh belongs to this process.
    """
    first_devices = {device.process_index: device for device in mesh.devices.flat[::-1]}
    processes, own = sorted(first_devices), jax.process_index()
    if own not in processes:
        raise ValueError(
            f"The mesh has devices of processes {processes} and this is process {own}; expected some of its "
            "own among them, so build the mesh from jax.devices(), or leave the call to those processes."
        )
    if len(processes) == 1:
        return work(0, size, mesh)
    # All parts have one length, and the last ones overlap if it does not divide the whole.
    count = -(-size // len(processes))
    firsts = [min(i * count, size - count) for i in range(len(processes))]
    devices = [device for device in mesh.devices.flat if device.process_index == own]
    part = work(firsts[processes.index(own)], count, Mesh(np.array(devices), ("fits",)))

    def join(parts: np.ndarray) -> np.ndarray:
        return np.concatenate(
            [part[i * count - first :] for i, (part, first) in enumerate(zip(parts, firsts, strict=True))]
        )

    parts = _gathered(part, Mesh(np.array([first_devices[i] for i in processes]), ("processes",)))
    return jax.tree.map(join, parts)


def _gathered(tree: Tree, mesh: Mesh) -> Tree:
    """Return the arrays of all processes, given a device of each, stacked in each of them."""
    each = NamedSharding(mesh, PartitionSpec("processes"))
    everywhere = NamedSharding(mesh, PartitionSpec())
    with jax.enable_x64(True):  # as they are
        stacked = jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(each, leaf[None]), tree)
        found = jax.jit(lambda stacked: stacked, out_shardings=everywhere)(stacked)
        return jax.tree.map(lambda leaf: np.asarray(leaf.addressable_data(0)), found)
