"""The geometry of sliding windows: sizes, strides, paddings and output sizes, worked out once for all kernels.

A kernel gets the output size and the top and left padding and nothing else, so rounding modes, output_padding and
one-sided padding live here and not four times over.
"""

import numbers
from typing import Any, NamedTuple


class Padding(NamedTuple):
    """Rows and columns added on each side, in pixels."""

    top: int
    bottom: int
    left: int
    right: int


def pair(op: str, name: str, value: Any, minimum: int) -> tuple[int, int]:
    """`value` as (vertical, horizontal): an int counts for both. Raises ValueError below `minimum`."""
    both = (value, value) if isinstance(value, numbers.Integral) else value
    if not isinstance(both, (tuple, list)) or len(both) != 2 or not all(isinstance(v, numbers.Integral) for v in both):
        raise TypeError(f"{op}: expected {name} as an int or (height, width) of ints, got {value!r}. "
                        f"Write {name}=3 or {name}=(3, 5).")
    if min(both) < minimum:
        raise ValueError(f"{op}: expected {name} of at least {minimum}, got {value!r}. Choose larger values.")
    return int(both[0]), int(both[1])


def parse_padding(op: str, value: Any) -> Padding:
    """`value` as four sides: an int, (vertical, horizontal) or ((top, bottom), (left, right)); a Padding as it is."""
    if isinstance(value, Padding):
        return value
    if isinstance(value, (tuple, list)) and len(value) == 2 and all(isinstance(v, (tuple, list)) for v in value):
        (top, bottom), (left, right) = (pair(op, "padding", side, 0) for side in value)
        return Padding(top, bottom, left, right)
    vertical, horizontal = pair(op, "padding", value, 0)
    return Padding(vertical, vertical, horizontal, horizontal)


def extent(kernel_size: int, dilation: int) -> int:
    """Input pixels from the first to the last tap of a window, both included."""
    return dilation * (kernel_size - 1) + 1


def window_count(size: int, kernel_size: int, stride: int, before: int, after: int, dilation: int) -> int:
    """How many whole windows fit along one axis: floor((size + padding - extent) / stride) + 1."""
    return (size + before + after - extent(kernel_size, dilation)) // stride + 1


def window_count_ceil(size: int, kernel_size: int, stride: int, before: int, after: int, dilation: int) -> int:
    """The same, rounded up (Caffe's pooling): the last window may hang over the end.

    It is dropped if it would start beyond the input and its leading padding, where it could see nothing.
    """
    count = -(-(size + before + after - extent(kernel_size, dilation)) // stride) + 1
    if (count - 1) * stride >= size + before:
        count -= 1
    return count


class Windows(NamedTuple):
    """Windows of one op over one input, as the kernels want them: see `windows`."""

    oh: int
    ow: int
    sh: int
    sw: int
    ph: int
    pw: int
    dh: int
    dw: int


def windows(
    op: str, input_size: tuple[int, int], kernel_size: Any, stride: Any, padding: Any, dilation: Any,
    ceil_mode: bool = False,
) -> Windows:
    """Parse a convolution's or pooling's options for an input of (H, W) and count its windows.

    Raises ValueError if not a single window fits, with the smallest size that would.
    """
    kh, kw = pair(op, "kernel_size", kernel_size, 1)
    sh, sw = pair(op, "stride", stride, 1)
    dh, dw = pair(op, "dilation", dilation, 1)
    sides = parse_padding(op, padding)
    count = window_count_ceil if ceil_mode else window_count
    oh = count(input_size[0], kh, sh, sides.top, sides.bottom, dh)
    ow = count(input_size[1], kw, sw, sides.left, sides.right, dw)
    if oh < 1 or ow < 1:
        least_h = max(1, extent(kh, dh) - sides.top - sides.bottom)
        least_w = max(1, extent(kw, dw) - sides.left - sides.right)
        raise ValueError(f"{op}: expected an input of at least {least_h}x{least_w} (kernel {kh}x{kw}, dilation "
                         f"{dh}x{dw}, padding {tuple(sides)}), got {input_size[0]}x{input_size[1]}. "
                         f"Use a larger input or more padding.")
    return Windows(oh, ow, sh, sw, sides.top, sides.left, dh, dw)
