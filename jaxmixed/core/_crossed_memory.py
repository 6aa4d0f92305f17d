"""What crossed factors with a dense Schur complement need of memory, known before any of it is taken.

With D random effects of all factors but the eliminated one, E entries of A_eo and P listed pairs of them,
a fit and what is asked of it later hold at most

    COPIES D^2 + 2 (E (q + 1) + P (q^2 + 2))     numbers

apart from the rows themselves, which are there already: lists once here and once on the device, and what is
gathered at their places.
"""

import os
from pathlib import Path

import numpy as np

from ._couplings_sparse import BLOCK, count_pairs
from ._design import RandomTerm

COPIES = 10  # D x D arrays alive at once
SHARE = 0.9  # of the memory that is free, which these numbers may take
LITTLE = 2**28  # bytes that are taken without asking: to ask takes as long as a small fit
PAIRS_AN_ENTRY = 32  # most pairs that are listed for each entry, where these are more than D^2
CGROUP = Path("/sys/fs/cgroup")
GIB = 2**30


def dense_memory(terms: tuple[RandomTerm, ...]) -> int:
    """Return a bound on the bytes that these crossed factors need, without building anything.

    Parameters
    ----------
    terms
        Random terms of a design, one a grouping factor; only sizes and codes are looked at.

    Returns
    -------
    int
        Bytes beyond those of the design, the factor of most levels eliminated and the others dense.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxmixed.core._crossed_memory import dense_memory
    >>> from jaxmixed.core import RandomTerm
    >>> ones, row = np.ones((60_000, 1)), np.arange(60_000)
    >>> terms = RandomTerm(ones, row % 30_000, 30_000, (1,)), RandomTerm(ones, row % 20_011, 20_011, (1,))
    >>> dense_memory(terms) // 2**30
    29
    """
    eliminated, *others = sorted(terms, key=lambda term: -term.n_levels)
    D = sum(term.n_levels * term.z.shape[1] for term in others)
    q = eliminated.z.shape[1]
    rows = np.bincount(np.asarray(eliminated.codes), minlength=eliminated.n_levels)
    per_level = np.minimum(rows * sum(term.z.shape[1] for term in others), D)
    entries = int(per_level.sum())
    pairs = min(count_pairs(per_level), most_pairs(D, entries))
    listed = entries * (q + 1) + pairs * (q**2 + 2)
    return eliminated.z.dtype.itemsize * (COPIES * D**2 + 2 * listed + BLOCK)


def most_pairs(D: int, entries: int) -> int:
    """Return the number of pairs that may be listed."""
    return max(D**2, PAIRS_AN_ENTRY * entries)


def fits_into_memory(terms: tuple[RandomTerm, ...]) -> bool:
    """Tell whether the machine has the memory that these crossed factors need, as far as it says."""
    needed = dense_memory(terms)
    return needed <= LITTLE or (free := free_memory()) is None or needed <= SHARE * free


def check_memory(terms: tuple[RandomTerm, ...]) -> None:
    """Raise if the machine has less memory than these crossed factors need."""
    if fits_into_memory(terms):
        return
    needed, free = dense_memory(terms), free_memory() or 0
    levels = sorted((term.n_levels for term in terms), reverse=True)
    D = sum(term.n_levels * term.z.shape[1] for term in terms)
    D -= max(terms, key=lambda term: term.n_levels).z.shape[1] * levels[0]
    raise ValueError(
        f"Crossed factors with {', '.join(f'{n:,}' for n in levels)} levels leave a dense matrix of {D:,} x "
        f"{D:,}, about {needed / GIB:.1f} GiB of working memory, and {SHARE * free / GIB:.1f} GiB may be "
        f'taken here; use solver="iterative", drop a factor, or sample its levels.'
    )


def free_memory() -> int | None:
    """Return the bytes that a process can still take on this machine, `None` where it does not say."""
    known = [bytes for bytes in (_of_the_machine(), _of_the_control_group()) if bytes is not None]
    return min(known, default=None)


def _of_the_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _of_the_control_group() -> int | None:
    """Return what a container may still take."""
    try:
        limit, used = ((CGROUP / f"memory.{name}").read_text().strip() for name in ("max", "current"))
    except OSError:
        return None
    return None if limit == "max" else max(0, int(limit) - int(used))
