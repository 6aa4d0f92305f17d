"""Which cross products count as equal."""

import numpy as np

from jaxmixed.core._patterns import same_rows


def patterns(products):
    return same_rows(np.asarray(products, float))[1].tolist()


def test_sums_that_differ_by_rounding_are_equal():
    below = np.nextafter(4.0, 0)  # another power of two
    assert patterns([[4, 1], [below, 1], [4, 1 + 1e-15]]) == [0, 0, 0]
    assert patterns([[4, 0], [4, -0.0], [4, 1e-14]]) == [0, 0, 0]
    assert patterns([[-4, 1e9], [-below, 1e9 * (1 + 1e-13)]]) == [0, 0]


def test_others_are_not():
    first, pattern, counts = same_rows(np.array([[4, 1], [4, 1 + 1e-9], [8, 1], [4, -1], [4, 1]]))
    assert len(first) == 4 and sorted(counts) == [1, 1, 1, 2]
    assert pattern[0] == pattern[4] and len(set(pattern[:4])) == 4
