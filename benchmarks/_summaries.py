"""What the rows of a run come to: aims met or missed, where others are faster and why, floors."""

from ._process import OWN, PYTHON as PYTHON_PACKAGES
from ._table import Table, number
from ._turns import Row
from ._workloads import LARGE, PYTHON, Workload

# Why a task of ours can take longer than another package's, or than we want, and what would change it.
WHY = {
    "lmer": "a quarter of the time is pandas, columns out and labelled results back, another the call of the "
    "compiled program, which finds the processor's caches full of Python's work and leaves them full of its "
    "own, and the rest some two hundred calls of NumPy; a program that begins at the rows would change it, "
    "compiled anew for every other number of them",
    "large": "the dense matrix of the smaller factors is inverted for each evaluation, at the rate of matrix "
    "products; fewer evaluations, or a sparse inverse where factors meet seldom, would change it",
    "profile": "mixedlm profiles the fixed effects alone, one parameter of four for Penicillin; ours finds "
    "all limits in one call, and leaving out those not asked for would change it",
    "refit": "more than half of the time is Python, which checks the response, sums it by level and labels "
    "results by pandas; many responses belong into fit_many, which takes microseconds each",
    "optimiser": "XLA makes one kernel of some two hundred small loops, which it is told not to optimise, so "
    "that the first fit comes soon; optimising them would take half of their time away, and half a second "
    "at the first fit",
    "sets": "each data set is conditioned and summed by itself, in Python and NumPy, before all are fitted "
    "at once; doing that for many data sets of one shape together would change it",
    "satterthwaite": "the derivatives are some tens of calls of NumPy, and results are labelled by pandas; "
    "the arithmetic itself takes microseconds, as batches show",
    "kenward-roger": "the derivatives are some tens of calls of NumPy, and the table has all columns of a "
    "test, not degrees of freedom alone; one compiled program would change it, at the price of compiling it",
}
TITLES = {
    "lmer": "lmer() of small data",
    "large": "Large data",
    "refit": "refit",
    "optimiser": "Optimiser",
    "profile": "Profiles",
    "sets": "Separate data sets",
    "satterthwaite": "Satterthwaite",
    "kenward-roger": "Kenward-Roger",
}


def aims(rows: list[Row]) -> Table:
    """Compare what was found with what we want."""
    lines, reasons = [], []
    for own in (row for row in rows if row.package == OWN):
        for whom, times in own.workload.aims.items():
            found = reached(own.workload, whom, rows)
            if found is None or own.trouble:
                continue
            met = "yes" if found.ratio >= times and own.counts else "no"
            against = whom if whom != PYTHON else f"every package of Python; fastest is {found.package}"
            lines.append((own.workload.name, against, number(times), number(found.ratio), met))
            if 1 <= found.ratio < times:  # where we are slower, `losses` says why
                reasons.append(_reason(own.workload))
    met = sum(line[-1] == "yes" for line in lines)
    return Table(
        "Aims",
        ("workload", "faster than", "times, aim", "times, found", "met"),
        lines,
        (f"{met} of {len(lines)} are met.", *filter(None, dict.fromkeys(reasons))),
        words=(0, 1),
    )


def reached(workload: Workload, whom: str, rows: list[Row]) -> Row | None:
    """Return the row that decides an aim: the fastest whose answer is right."""
    names = PYTHON_PACKAGES if whom == PYTHON else (whom,)
    of_whom = [row for row in rows if row.workload is workload and row.package in names and not row.trouble]
    right = [row for row in of_whom if row.counts]
    # Another answer than the right one is no reason to be slower, but it is all there is of one package.
    return min(right or (of_whom if whom != PYTHON else []), key=lambda row: row.ratio, default=None)


def losses(rows: list[Row]) -> Table:
    """List every right answer that came sooner than ours, and say once for each task why."""
    found = [row for row in rows if row.counts and row.ratio < 1]
    lines = [(row.workload.name, row.package, number(1 / row.ratio)) for row in found]
    reasons = dict.fromkeys(_reason(row.workload) for row in found)
    header = ("workload", "package", "times faster")
    return Table("Where others are faster", header, lines, tuple(filter(None, reasons)), words=(0, 1))


def _reason(workload: Workload) -> str:
    key = "large" if workload.part == LARGE else workload.task
    return f"{TITLES[key]}: {WHY[key]}." if key in WHY else ""


def floors(rows: list[Row]) -> Table:
    """Compare our times with the machine's rates."""
    lines = []
    failed = [f"{row.workload.name}: no floor, {row.floor['error']}" for row in rows if "error" in row.floor]
    for row in rows:
        if "flops" not in row.floor:
            continue
        f, time = row.floor, row.median * row.fits
        least = f["flops"] / f["flops_a_second"] + f["bytes"] / f["bytes_a_second"]
        lines.append(
            (
                row.workload.name,
                f"{f['flops']:.1e}",
                f"{f['bytes']:.1e}",
                number(f["flops_a_second"] / 1e9),
                number(f["bytes_a_second"] / 1e9),
                number(least),
                number(time),
                number(time / least),
            )
        )
    header = ("workload", "flops", "bytes", "Gflop/s", "GB/s", "floor (s)", "ours (s)", "ours / floor")
    notes = (
        "The floor counts products of matrices, and the statistics and rows they read, at the rates of a "
        "product of two 1500 x 1500 matrices and of a copy of 128 MiB, measured in the same process.",
        *failed,
    )
    return Table("The least that the machine needs", header, lines, notes)
