"""Fits shared by two processes equal those of one, bit for bit."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from jaxmixed import core

LIMIT = 240  # seconds, all in all; a hang ends there

WORKER = """
import sys
import jax, numpy as np

jax.config.update("jax_cpu_collectives_implementation", "gloo")
number, address = int(sys.argv[1]), sys.argv[2]
jax.distributed.initialize(address, 2, number, initialization_timeout=60)
assert jax.process_count() == 2 and jax.device_count() == 4

import jaxmixed as jm
from helpers import random_design
from jaxmixed import core

mesh = jax.make_mesh((4,), ("fits",))
alone = jax.sharding.Mesh(jax.local_devices()[:1], ("fits",))
equal = lambda a, b: jax.tree.map(np.testing.assert_array_equal, a, b)

design = random_design("one_pattern_slope", 3)
prepared, rng = core.condition(design), np.random.default_rng(0)
Y = design.y[:, None] + rng.normal(size=(len(design.y), 1001))
stats = core.assemble_many(prepared, core.plan(prepared), Y, compress=True)
names = ("C", "gamma_ols", "scale", "G")
axis = lambda path, _: 0 if getattr(path[-1], "name", None) in names else None
axes = jax.tree_util.tree_map_with_path(axis, stats)
with jax.enable_x64(True):
    equal(core.fit_batch(stats, axes, mesh=mesh), core.fit_batch(stats, axes, mesh=alone))
one = lambda first, count, mesh: np.arange(first, first + count)
equal(core.over_processes(one, 1, mesh), np.arange(1))

data = jm.datasets.load("sleepstudy")
fit = jm.lmer("Reaction ~ Days + (1 | Subject)", data)
boots = [fit.bootstrap(999, 1, mesh=m).extend(2, mesh=m) for m in (mesh, alone)]
assert boots[0].n == 1001
equal(*(boot.replicates for boot in boots))

Y = data[["Reaction"]].to_numpy() + 10 * rng.normal(size=(180, 101))
Y[0, :3] = np.nan
many = [jm.fit_many("~ Days + (1 | Subject)", data, Y, mesh=m) for m in (mesh, alone)]
assert many[0].to_frame().equals(many[1].to_frame()) and many[0].glance().equals(many[1].glance())
print("equal")
"""


@pytest.mark.slow
@pytest.mark.timeout(LIMIT + 30)
def test_two_processes_equal_one():
    """Over the loopback interface, two devices in each process; both end with everything."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    path = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(core.__file__).parents[2])])
    flags = "--xla_force_host_platform_device_count=2"
    # Compiled as it is for users: the other tests do without LLVM's optimiser.
    environment = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(number), address],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    try:
        for process in both:
            out, error = process.communicate(timeout=LIMIT)
            assert out.split()[-1:] == ["equal"], error  # after what gloo prints
    finally:
        for process in both:
            process.kill()


class Device:
    """What is asked of a device."""

    def __init__(self, process_index: int):
        self.process_index = process_index


def test_a_process_without_a_part():
    mesh = Mesh(np.array(jax.local_devices()[:1]), ("fits",))
    assert core.over_processes(lambda first, count, mesh: np.arange(count), 3, mesh).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match=r"processes \[1, 2\] and this is process 0"):
        core.over_processes(lambda *_: np.zeros(1), 3, Elsewhere)


class Elsewhere:
    """A mesh of other processes."""

    devices = np.array([Device(2), Device(1)])
