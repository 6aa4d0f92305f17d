"""The smallest whole number that will do, where larger ones do too."""

from collections.abc import Callable


def smallest(reaches: Callable[[int], bool], start: int, most: int) -> int | None:
    """Return the smallest number, from 1 to `most`, that `reaches`; `None` if `most` does not.

    Steps of 1, 2, 4, ... away from `start` find two numbers to bisect between, so that few are tried if
    `start` is near.
    """
    step = 1
    if reaches(start):
        low, high = start - step, start
        while low > 0 and reaches(low):
            step *= 2
            low, high = low - step, low
    else:
        low, high = start, min(start + step, most)
        while high < most and not reaches(high):
            step *= 2
            low, high = high, min(high + step, most)
        if not reaches(high):
            return None
    low = max(low, 0)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high
