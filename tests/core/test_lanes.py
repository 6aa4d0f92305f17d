"""Lanes: on threads and on devices, and how many of them."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from jaxmixed import core
from jaxmixed.core import _lanes

DEVICES = """
import jax, numpy as np
from helpers import random_design
from jaxmixed import core

assert jax.local_device_count() == 4
design = random_design("one_pattern_slope", 3)
prepared = core.condition(design)
plan, rng = core.plan(prepared), np.random.default_rng(0)
responses = design.y + rng.normal(size=(3000, len(design.y)))
with jax.enable_x64(True):
    each = [core.assemble(prepared, plan, y, compress=True) for y in responses]
    stats = jax.tree.map(lambda *leaves: np.stack(leaves), *each)
    alone = core.fit_batch(stats, mesh=jax.sharding.Mesh(jax.local_devices()[:1], ("fits",)))
    shared = core.fit_batch(stats)
    odd = core.fit_batch(stats, mesh=jax.sharding.Mesh(jax.local_devices()[:3], ("a",)))
assert (alone.result == 0).all()
for other in (shared, odd):
    jax.tree.map(np.testing.assert_array_equal, other, alone)
order = rng.permutation(3000)
with jax.enable_x64(True):
    moved = core.fit_batch(jax.tree.map(lambda leaf: leaf[order], stats))
jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[order]), moved, alone)
print("equal")
"""


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_results_depend_neither_on_the_number_of_devices_nor_on_the_place():
    """Bit for bit, in a process that sees four devices and compiles as it does for users.

    LLVM's optimiser, which the other tests do without, may round the end of a row otherwise than the rest.
    """
    flags = "--xla_force_host_platform_device_count=4"
    path = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(core.__file__).parents[2])])
    environment = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": path}
    command = [sys.executable, "-c", DEVICES]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.stdout.strip() == "equal", done.stderr


def test_threads_keep_order_and_precision():
    def work(piece):
        time.sleep(0.01 * (3 - piece))
        return piece, jnp.ones(1).dtype, threading.get_ident()

    with jax.enable_x64(True):
        found = _lanes.on_threads(work, range(3), workers=3)
    assert [piece for piece, _, _ in found] == [0, 1, 2]
    assert {dtype for _, dtype, _ in found} == {jnp.dtype("float64")}
    assert threading.get_ident() not in {thread for _, _, thread in found}
    assert _lanes.on_threads(work, range(2), workers=3)[0][1] == jnp.dtype("float32")


def test_an_error_ends_the_other_pieces():
    begun = []

    def work(piece):
        begun.append(piece)
        time.sleep(0.02)
        if piece == 0:
            raise KeyboardInterrupt
        return piece

    with pytest.raises(KeyboardInterrupt):
        _lanes.on_threads(work, range(100), workers=2)
    assert len(begun) < 10


def test_widths():
    assert _lanes.width(1) == _lanes.WIDEST and _lanes.width(10**9) == _lanes.NARROWEST
    assert _lanes.width(_lanes.IN_CACHE // 64) == 64
    assert [_lanes.power_of_two(n) for n in (0, 1, 2, 3, 1023, 1024)] == [1, 1, 2, 2, 512, 1024]
