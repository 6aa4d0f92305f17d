import os
import sys
from pathlib import Path

# Before JAX is imported by any test: one CPU device, and no window for pictures.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
# Most of the suite's time is compilation; these halve it and change results by rounding only.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0")

import hypothesis
import pytest
from catalog import Case, all_cases

hypothesis.settings.register_profile(
    "jaxmixed",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=25,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("jaxmixed")


@pytest.fixture
def x64():
    """Run the test in double precision, and leave the flag as it was."""
    import jax

    with jax.enable_x64(True):
        yield


MAPPINGS = 65_530 // 3  # of memory; Linux grants a process 65,530, and XLA ends it where there is no more


@pytest.fixture(autouse=True, scope="module")
def programs_do_not_pile_up():
    """Let go of compiled programs when there are many: JAX keeps all that a process ever compiled.

    The package lets go of its own by itself; between modules, so that none has to compile its programs twice.
    """
    yield
    if (programs := sys.modules.get("jaxmixed.core._programs")) and programs.kept() > programs.MOST // 2:
        programs.let_go()
    maps = Path("/proc/self/maps")
    if (jax := sys.modules.get("jax")) and maps.exists():
        with maps.open() as lines:
            if sum(1 for _ in lines) > MAPPINGS:
                jax.clear_caches()


@pytest.fixture(autouse=True)
def no_figure_left():
    """Close what a test has drawn: matplotlib warns of many open figures."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.fixture(scope="session")
def catalog() -> dict[str, Case]:
    """Return the reference cases that are here, by name."""
    return all_cases()
