"""From sufficient statistics to the fitted parameters, in float64 and with one compilation a shape."""

import functools
from collections.abc import Callable

import jax
import numpy as np

from jaxmixed import core

# XLA's newer kernel emitters take twice as long to compile the many small kernels of a fit and run no
# faster.
QUICK_COMPILE = {"xla_cpu_use_fusion_emitters": False}


@functools.cache
def _compiled() -> Callable[..., core.Fit]:
    options = QUICK_COMPILE if jax.default_backend() == "cpu" else None
    return jax.jit(core.fit, static_argnames="reml", compiler_options=options)


def estimate(stats: core.SuffStats, reml: bool) -> core.Fit:
    """Minimise the criterion in float64, whatever the caller's configuration, and return NumPy."""
    with jax.enable_x64(True):
        return core.Fit(*map(np.asarray, _compiled()(stats, reml=reml)))
