"""Compiled programs: how XLA makes them on a CPU, and how many of them a process keeps.

Linux grants a process 65,530 mappings of memory. A compiled program holds one to four hundred, for as long as
it may be called again, and XLA ends the process where there is no more: without a limit, by a loop over some
two hundred data sets, each of another shape.
"""

import functools
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import jax

T = TypeVar("T")

# Many small kernels: XLA's newer emitters take twice as long to compile them, and run no faster.
QUICK: dict[str, Any] = {"xla_cpu_use_fusion_emitters": False}
# Of what is left, LLVM's optimiser takes half, and pays only where there are long loops or many fits.
QUICKEST = QUICK | {"xla_backend_optimization_level": 0}
MOST = 100  # programs that are kept, one for each shape of the arguments

_all: "weakref.WeakSet[Program[Any]]" = weakref.WeakSet()
_changing = threading.Lock()


class Program(Generic[T]):
    """A function that is compiled when it is first called with arguments of some shape.

    Parameters
    ----------
    function
        A pure function of JAX arrays. The program takes NumPy arrays in their place.
    options
        XLA's, for CPUs; on other devices, and if `None`, its own choice.
    static
        Names of arguments that are known while compiling.
    """

    def __init__(
        self,
        function: Callable[..., T],
        options: dict[str, Any] | None = None,
        static: Sequence[str] = (),
    ):
        self._function, self._options, self._static = function, options, static
        self._known = 0
        with _changing:
            _all.add(self)

    @functools.cached_property
    def _jitted(self) -> Any:  # not before it is called: to know the device starts it
        options = self._options if jax.default_backend() == "cpu" else None
        return jax.jit(self._function, static_argnames=self._static, compiler_options=options)

    def __call__(self, *args: Any, **kwargs: Any) -> T:
        found = self._jitted(*args, **kwargs)
        if (size := self._size()) != self._known:
            self._known = size
            _keep_few()
        return found

    def _size(self) -> int:
        """Return how many programs there are, as far as JAX tells."""
        count = getattr(self._jitted, "_cache_size", None)
        return 0 if count is None else count()

    def clear(self) -> None:
        """Let go of what was compiled."""
        self._jitted.clear_cache()
        self._known = 0


def _keep_few() -> None:
    """Let go of all programs once there are too many: those still in use are soon compiled again."""
    with _changing:
        if kept() > MOST:
            let_go()


def kept() -> int:
    """Return how many programs are kept; JAX may have let go of some."""
    return sum(program._size() for program in _all if program._known)


def let_go() -> None:
    """Let go of all programs."""
    for program in _all:
        if program._known:
            program.clear()
