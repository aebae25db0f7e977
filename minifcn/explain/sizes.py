"""Which images can this network take? Found by trying sizes on its shapes, which costs next to nothing.

A network without padding has a least size. One that adds or joins maps without cropping takes multiples of something.
A classifier with fully connected layers takes the sizes that end in the one map it was made for. Rows and columns do
not know of each other, so each axis has its own rule.
"""

from dataclasses import dataclass

from ..graph import Graph
from ..shapes import complaint

SEARCHED = 1536  # a first legal square is looked for up to this size
LONGEST_PERIOD = 64  # twice the coarsest stride of the published networks


@dataclass(frozen=True)
class Sizes:
    """The legal sizes along one axis.

    Attributes:
        legal: those from 1 to `tried`.
        tried: how far sizes were tried, one by one.
        period: beyond that, what is legal repeats with this period; 0: nothing is legal there.
    """

    legal: tuple[int, ...]
    tried: int
    period: int

    def allows(self, size: int) -> bool:
        """Whether an image may have so many rows (or columns)."""
        if size > self.tried and self.period:
            size = self.tried - self.period + 1 + (size - self.tried - 1) % self.period
        return size in self.legal

    def nearest(self, size: int) -> int:
        """The legal size that lies nearest, the larger of two that lie equally near."""
        distance = next(d for d in range(size + self.tried) if self.allows(size + d) or self.allows(size - d))
        return size + distance if self.allows(size + distance) else size - distance

    def told(self) -> str:
        """In words: "every size from 404", "multiples of 32", "193 to 224"."""
        least, greatest = self.legal[0], self.legal[-1]
        steps = {after - before for before, after in zip(self.legal, self.legal[1:], strict=False)}
        step = min(steps, default=0)
        if len(steps) > 1:
            return f"{', '.join(map(str, self.legal[:8]))} and so on"
        if not self.period:
            return f"{least} to {greatest}" + (f" in steps of {step}" if step > 1 else "") if step else f"only {least}"
        if step == 1:
            return f"every size from {least}"
        if least == step:
            return f"multiples of {step}"
        return f"{least}, {least + step}, {least + 2 * step} and so on, in steps of {step}"


def legal_sizes(graph: Graph) -> tuple[Sizes, Sizes]:
    """The heights and the widths of images that a network can take.

    Raises ValueError if no square up to SEARCHED pixels is one, with the reason for the largest.
    """
    anchor = _legal_square(graph)
    tried = range(1, anchor + 2 * LONGEST_PERIOD + 1)
    rows = [size for size in tried if complaint(graph, (size, anchor)) is None]
    columns = [size for size in tried if complaint(graph, (anchor, size)) is None]
    return _rule(rows, tried[-1]), _rule(columns, tried[-1])


def check_size(who: str, graph: Graph, size: tuple[int, int]) -> None:
    """The network takes images of (H, W). Raises ValueError otherwise: why not, which it takes, and the nearest one."""
    wrong = complaint(graph, size)
    if wrong is not None:
        rows, columns = legal_sizes(graph)
        raise ValueError(f"{who}: expected an image that this network takes (rows: {rows.told()}; columns: "
                         f"{columns.told()}), got {size[0]}x{size[1]}, where {wrong} The nearest size that fits is "
                         f"{rows.nearest(size[0])}x{columns.nearest(size[1])}.")


def _legal_square(graph: Graph) -> int:
    """Multiples of 64 first: they suit every published network that is not a classifier."""
    for size in (*range(64, SEARCHED + 1, 64), *range(1, SEARCHED + 1)):
        if complaint(graph, (size, size)) is None:
            return size
    raise ValueError(f"explain size: expected a network that takes some square image of up to {SEARCHED} pixels, got "
                     f"none. The last one: {complaint(graph, (SEARCHED, SEARCHED))}")


def _rule(legal: list[int], tried: int) -> Sizes:
    """What repeats in the last stretch that was tried goes on for ever."""
    stretch = range(tried - 2 * LONGEST_PERIOD + 1, tried + 1)
    found = set(legal)
    period = 0
    if found.intersection(stretch[LONGEST_PERIOD:]):
        period = next(p for p in range(1, 2 * LONGEST_PERIOD)
                      if all((size in found) == (size + p in found) for size in stretch[:-p]))
    return Sizes(tuple(legal), tried, period)
