"""Fast draws of single values: one call of the generator fills a block of uniform numbers."""

from bisect import bisect
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TypeVar, overload

import numpy as np

T = TypeVar("T")
BLOCK = 4096


class Draws:
    """Single draws from a generator, in blocks because a scalar call costs a microsecond or more.

    Parameters
    ----------
    rng : np.random.Generator
        Only its doubles are used, which numpy keeps the same on every platform.
    """

    __slots__ = ("_next", "_rng")

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._next: Callable[[], float] = iter(()).__next__

    def uniform(self) -> float:
        """A number in [0, 1)."""
        try:
            return self._next()
        except StopIteration:
            self._next = iter(self._rng.random(BLOCK).tolist()).__next__
            return self._next()

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.uniform() < probability

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, all equally likely."""
        return options[int(self.uniform() * len(options))]

    def zipf(self, options: "Ranked[T]") -> T:
        """One of the options, the earlier the likelier."""
        return options.members[bisect(options.cumulative, self.uniform() * options.cumulative[-1])]


class Ranked(Sequence[T]):
    """Members in order of frequency: the weight of rank r is 1 / (r + 3) to the power of 0.5.

    The shift by three flattens the head, as in the Zipf-Mandelbrot law, so that no noun of a class
    of ten takes a third of all its uses.
    """

    __slots__ = ("cumulative", "members")

    def __init__(self, members: Sequence[T]) -> None:
        self.members = tuple(members)
        # Rounded, because the last bit of a power is not the same on every platform.
        self.cumulative = tuple(accumulate(round((rank + 3) ** -0.5, 9) for rank in range(len(self.members))))

    def __len__(self) -> int:
        return len(self.members)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...

    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        return self.members[index]
