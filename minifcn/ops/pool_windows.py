"""What all poolings ask of their windows: geometry that leaves every window something real to look at."""

from typing import Any

from .geometry import Windows, extent, pair, parse_padding, windows


def pool_windows(
    op: str, input_size: tuple[int, int], kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool,
) -> tuple[tuple[int, int], Windows]:
    """The kernel's size as (KH, KW) and the windows over an input of (H, W); stride None means the kernel's size.

    A convolution may look at padding alone: zeros times weights are zeros. The largest, or the mean, of no pixel at all
    does not exist, so no side may be padded by more than half of the kernel's extent (PyTorch's rule).

    Raises ValueError for more padding, for an input that is too small, and for a dilated window that steps over the
    whole input with one tap in the padding on each side.
    """
    kernel = pair(op, "kernel_size", kernel_size, 1)
    dilations = pair(op, "dilation", dilation, 1)
    sides = parse_padding(op, padding)
    most = tuple(extent(kernel[axis], dilations[axis]) // 2 for axis in (0, 1))
    if max(sides.top, sides.bottom) > most[0] or max(sides.left, sides.right) > most[1]:
        raise ValueError(f"{op}: expected padding of at most {most[0]} rows and {most[1]} columns, half the extent of "
                         f"kernel {kernel} with dilation {dilations}, got {tuple(sides)}. With more, a window could "
                         f"lie wholly in the padding; use less, or a larger kernel.")
    view = windows(op, input_size, kernel, kernel if stride is None else stride, padding, dilation, ceil_mode)
    for axis, name in enumerate(("rows", "columns")):
        count, step, before, dilation = view[axis::2]
        if _steps_over(input_size[axis], count, step, before, dilation):
            raise ValueError(f"{op}: expected dilation of at most {input_size[axis]}, the input's {name}, where it is "
                             f"padded, got {dilation}. A window would have all its taps in the padding; use less "
                             f"dilation or no padding.")
    return kernel, view


def _steps_over(size: int, count: int, stride: int, before: int, dilation: int) -> bool:
    """Whether some window along one axis has no tap among the `size` pixels, its padding being half the extent at most.

    Only a window that begins in the padding can: all depends on its first tap at 0 or later.
    """
    for start in range(-before, min(0, count * stride - before), stride):
        tap = -(start // dilation)  # the first with start + tap*dilation >= 0: // rounds down, and so -(//) up
        if start + tap * dilation >= size:
            return True
    return False
