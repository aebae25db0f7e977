"""Which algorithm runs: functions of shapes and dtype, with their reasons, to be asked without running anything."""

import numpy as np

from .. import winograd_allowed
from ._processor import VECTOR_BITS
from ._winograd import TAPS
from ._winograd_choice import suits
from ._winograd_weight import suits_weight_gradient


def algorithm(n, c, o, oh, ow, kh, kw, sh, sw, dh, dw, groups, dtype) -> str:
    """"winograd" or "direct", for c channels to o maps of oh x ow; an input gradient asks with the two turned around.

    Winograd's method saves up to three of four multiplications, but is made for filters of 3x3 with stride 1, and loses
    a digit. So it is never used for float64, nor where the user forbids it, nor on maps so small that its transforms
    cost more than they save (`_winograd_choice`).
    """
    if not n * c * o * oh * ow:
        return "direct"
    fast = winograd_allowed() and suits(n, c, o, oh, ow, kh, kw, sh, sw, dh, dw, groups, dtype)
    return "winograd" if fast else "direct"


def weight_gradient_algorithm(n, c, o, oh, ow, kh, kw, sh, sw, dh, dw, groups, dtype) -> str:
    """The same for the weight gradient, whose transforms and sums cost something else (`_winograd_weight`)."""
    possible = (kh, kw, sh, sw, groups) == (TAPS, TAPS, 1, 1, 1) and np.dtype(dtype) == np.float32
    if not possible or not n * c * o * oh * ow or not winograd_allowed():
        return "direct"
    return "winograd" if suits_weight_gradient(n, c, o, oh, ow, dh, dw) else "direct"


def vectors_along(filters: int, dtype: np.dtype, pixels: int = 0, missed: float = 0) -> str:
    """What lies side by side in the vectors of a direct convolution with so many filters a group.

    "filters": filters that are no multiple of the vectors leave lanes empty. Pixels whose tap falls into the padding
        can be left out, `missed` being their share.
    "pixels": only the last pixels of an image leave lanes empty, and sums need not be turned over. But weights are
        packed again for a few hundred pixels, which is too often where there are more filters than pixels.
    """
    width = VECTOR_BITS // 8 // np.dtype(dtype).itemsize
    lanes = -(-filters // width) * width
    if lanes > filters + max(filters // 8, 6):
        return "pixels"
    empty = -pixels % (2 * width)
    return "pixels" if pixels > 2 * filters and empty < pixels / 16 and missed < 0.05 else "filters"
