"""Nested random effects given the data, as sums of independent steps from the outermost factor inwards.

Given its ancestors b_out, a level of factor l has mean -K_l F_out b_out about its own data and variance
sigma^2 K_l, so that with independent e_l ~ N(0, sigma^2 K_l)

    b_l = mode_l + e_l + slope_l (b_out - mode_out),     slope_l = -K_l F_out.

A linear function of b is one of the e's: what it asks of b_l it asks of e_l, and slope_l' times as much of
b_out. Its variance is a sum of one term for each level on the way out.
"""

from dataclasses import dataclass

from jaxtyping import Float, Int

from ._structure import Posterior, RowTerm
from ._types import Array, namespace


@dataclass(frozen=True, eq=False)
class NestedPosterior(Posterior):
    """Nested random effects given the data; factors innermost first, each with its slots.

    Attributes
    ----------
    K
        Covariance of every slot given its ancestors, relative to sigma^2.
    rest
        F_out, and behind it the products with [X y], of every slot when what it contains is eliminated.
    slots, parents, order
        As in `Nested`.
    """

    K: tuple[Float[Array, "slots q q"], ...]
    rest: tuple[Float[Array, "slots q v"], ...]
    slots: tuple[Int[Array, " J"], ...]
    parents: tuple[Int[Array, " slots"] | None, ...]
    order: tuple[int, ...]

    def modes(self, V: Float[Array, "c v"]) -> tuple[Float[Array, "J q v"], ...]:
        xp = namespace(V, *self.rest)
        known, modes = V[None], []
        for K, rest, parent in self._inwards():
            known = _to_children(known, parent, len(rest))
            b = K @ (rest @ known)
            known = xp.concatenate([-b, known], axis=1)
            modes.append(b)
        return self._unpadded(modes)

    def covariances(self) -> tuple[Float[Array, "J q q"], ...]:
        xp = namespace(*self.K)
        joint, covariances = xp.zeros((1, 0, 0), self.K[0].dtype), []
        for K, rest, parent in self._inwards():
            joint = _to_children(joint, parent, len(rest))
            slope = -K @ rest[:, :, : joint.shape[1]]
            cross = slope @ joint
            own = K + cross @ xp.swapaxes(slope, 1, 2)
            across = xp.concatenate([xp.swapaxes(cross, 1, 2), joint], axis=2)
            joint = xp.concatenate([xp.concatenate([own, cross], axis=2), across], axis=1)
            covariances.append(own)
        return self._unpadded(covariances)

    def variances(self, rows: tuple[RowTerm, ...]) -> Float[Array, " m"]:
        xp = namespace(rows[0].z, *self.K)
        total, asked = 0.0, []
        for level, t in enumerate(self.order):
            K, rest, outer = self.K[level], self.rest[level], self.order[level + 1 :]
            z = xp.concatenate([rows[t].z, *(xp.zeros_like(rows[s].z) for s in outer)], axis=1)
            asked.append((_take(self.slots[level], rows[t].codes), z))
            total = total + _variance(K, asked)
            asked = [self._outwards(level, K[slot], rest[slot], slot, g) for slot, g in asked]
        return total

    def _outwards(self, level: int, K, rest, slot, g):
        """Pass on what is asked of a level to the level that contains it and to all beyond."""
        q = K.shape[1]
        xp, g_own, g_out = namespace(g, K), g[:, :q], g[:, q:]
        if level < len(self.parents):
            parent = self.parents[level]
            family = len(self.K[level]) // len(self.K[level + 1])
            slot = slot // family if parent is None else _take(parent, slot)
        Kg = xp.einsum("mij,mj->mi", K, g_own)
        return slot, g_out - xp.einsum("mi,mij->mj", Kg, rest[:, :, : g_out.shape[1]])

    def _inwards(self):
        """Go through the factors from the outermost to the innermost."""
        return zip(reversed(self.K), reversed(self.rest), [None, *reversed(self.parents)], strict=True)

    def _unpadded(self, padded: list) -> tuple:
        """Pick the real levels, and put outermost-first results in the order of the terms."""
        by_term = {
            t: values[slots]
            for t, values, slots in zip(self.order, reversed(padded), self.slots, strict=True)
        }
        return tuple(by_term[t] for t in sorted(by_term))


def _variance(K, asked: list):
    """Return the variance that one factor's e adds; in some rows two paths meet in the same slot."""
    xp, q, total = namespace(K), K.shape[1], 0.0
    for i, (slot, g) in enumerate(asked):
        Kg = xp.einsum("mij,mj->mi", K[slot], g[:, :q])
        total = total + (Kg * g[:, :q]).sum(1)
        for other, h in asked[:i]:
            total = total + xp.where(slot == other, 2 * (Kg * h[:, :q]).sum(1), 0.0)
    return total


def _take(values, index):
    return namespace(values, index).asarray(values)[index]


def _to_children(values, parent, size: int):
    """Give every child its parent's value."""
    return namespace(values).repeat(values, size // len(values), axis=0) if parent is None else values[parent]
