"""Where did the maximum stand? Five conventions for writing it down, and a way from each to each.

The maximum of window (p, q) of image n and channel c stands at row y, column x of the pooling's input (N, C, H, W):

    convention    array         number                                          dtype
    ----------    -----------   ---------------------------------------------   ----------------------------------
    minifcn       N C OH OW     y*W + x                                         int32
    pytorch       N C OH OW     y*W + x                                         int64
    caffe         N C OH OW     y*W + x                                         float32 (an ordinary blob of Caffe)
    chainer       N C OH OW     i*KW + j, the tap inside the window             int32
    onnx          N C OH OW     ((n*C + c)*H + y)*W + x                         int64
    tensorflow    N OH OW C     (y*W + x)*C + c                                 int64
                                ((n*H + y)*W + x)*C + c with include_batch      (there: include_batch_in_index)

Rows and columns are those of the unpadded input. Only Chainer counts inside the window, where
y = p*stride + i*dilation - padding, so that only it needs the window's geometry. ONNX means storage_order=0 here.

Sources: torch.nn.MaxPool2d; caffe src/caffe/layers/pooling_layer.cpp; chainer functions/pooling/max_pooling_nd.py;
the ONNX operator MaxPool; tf.nn.max_pool_with_argmax.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

from ..kernels import array_module
from .check import Array
from .geometry import pair, parse_padding

FLOAT32_INTEGERS = 1 << 24  # float32 can tell all whole numbers up to here apart
NOWHERE = -1  # a row, or a number, for a place that does not exist


class _Frame(NamedTuple):
    """What a number is read against. The four grids broadcast to (N, C, OH, OW)."""

    xp: ModuleType
    size: tuple[int, int, int]  # (C, H, W) of the pooling's input
    image: Array  # n of each output, (N, 1, 1, 1)
    channel: Array  # c, (C, 1, 1)
    top: Array  # row under tap (0, 0), (OH, 1)
    left: Array  # column under tap (0, 0), (OW,)
    kernel: tuple[int, int]
    dilation: tuple[int, int]
    include_batch: bool


def _read_plane(numbers: Array, frame: _Frame) -> tuple[Array, Array]:
    return numbers // frame.size[2], numbers % frame.size[2]


def _write_plane(y: Array, x: Array, frame: _Frame) -> Array:
    return y * frame.size[2] + x


def _read_window(numbers: Array, frame: _Frame) -> tuple[Array, Array]:
    (kh, kw), (dh, dw) = frame.kernel, frame.dilation
    y, x = frame.top + numbers // kw * dh, frame.left + numbers % kw * dw
    return frame.xp.where((numbers >= 0) & (numbers < kh * kw), y, NOWHERE), x


def _write_window(y: Array, x: Array, frame: _Frame) -> Array:
    (kh, kw), (dh, dw) = frame.kernel, frame.dilation
    down, right = y - frame.top, x - frame.left
    i, j = down // dh, right // dw
    is_tap = (down % dh == 0) & (right % dw == 0) & (i >= 0) & (i < kh) & (j >= 0) & (j < kw)
    return frame.xp.where(is_tap, i * kw + j, NOWHERE)


def _read_onnx(numbers: Array, frame: _Frame) -> tuple[Array, Array]:
    channels, h, w = frame.size
    first = (frame.image * channels + frame.channel) * h * w  # of the plane; a number of another one gets a wrong row
    return _read_plane(numbers - first, frame)


def _write_onnx(y: Array, x: Array, frame: _Frame) -> Array:
    channels, h, w = frame.size
    return (frame.image * channels + frame.channel) * h * w + _write_plane(y, x, frame)


def _read_tensorflow(numbers: Array, frame: _Frame) -> tuple[Array, Array]:
    channels, h, w = frame.size
    pixels = numbers // channels - (frame.image * h * w if frame.include_batch else 0)
    y, x = _read_plane(pixels, frame)
    return frame.xp.where(numbers % channels == frame.channel, y, NOWHERE), x


def _write_tensorflow(y: Array, x: Array, frame: _Frame) -> Array:
    channels, h, w = frame.size
    pixels = _write_plane(y, x, frame) + (frame.image * h * w if frame.include_batch else 0)
    return pixels * channels + frame.channel


class _Convention(NamedTuple):
    read: Callable[[Array, _Frame], tuple[Array, Array]]  # numbers -> (y, x)
    write: Callable[[Array, Array, _Frame], Array]  # (y, x) -> numbers
    dtype: str


CONVENTIONS = {
    "minifcn": _Convention(_read_plane, _write_plane, "int32"),
    "pytorch": _Convention(_read_plane, _write_plane, "int64"),
    "caffe": _Convention(_read_plane, _write_plane, "float32"),
    "chainer": _Convention(_read_window, _write_window, "int32"),
    "onnx": _Convention(_read_onnx, _write_onnx, "int64"),
    "tensorflow": _Convention(_read_tensorflow, _write_tensorflow, "int64"),
}


def convert_indices(
    indices: Array, source: str, target: str, *, input_shape: tuple[int, int, int, int],
    kernel_size: Any = None, stride: Any = None, padding: Any = 0, dilation: Any = 1, include_batch: bool = False,
) -> Array:
    """Rewrite max-pooling indices from one convention of the table above to another.

    Args:
        indices: (N, C, OH, OW), or (N, OH, OW, C) if the source is "tensorflow".
        source, target: names from the table's first column.
        input_shape: (N, C, H, W) of the pooling's input, in this order for TensorFlow too.
        kernel_size, stride, padding, dilation: the pooling's, as in `max_pool2d`; wanted for "chainer" only.
        include_batch: whether TensorFlow's numbers count the images.

    Returns:
        A new array in the target's layout and dtype.

    Raises ValueError for an unknown name, a shape that does not fit, a missing kernel_size, an index that points
    outside its own plane or window, a plane too large for Caffe's floats; TypeError for numbers that are not whole.
    """
    op = "convert_indices"
    for name in (source, target):
        if name not in CONVENTIONS:
            raise ValueError(f"{op}: expected a convention among {', '.join(CONVENTIONS)}, got {name!r}. "
                             f"Choose one of these.")
    _, channels, h, w = input_shape
    numbers = _whole_numbers(op, indices)
    if source == "tensorflow":
        numbers = numbers.transpose(0, 3, 1, 2)
    if numbers.shape[:2] != tuple(input_shape[:2]):
        raise ValueError(f"{op}: expected indices of {input_shape[0]} images and {channels} channels, as input_shape "
                         f"{tuple(input_shape)} says, got shape {indices.shape}. Only tensorflow puts channels last.")
    if target == "caffe" and h * w > FLOAT32_INTEGERS:
        raise ValueError(f"{op}: expected a plane of at most {FLOAT32_INTEGERS} pixels, which is how far Caffe's "
                         f"float32 indices are exact, got {h}x{w}. Choose another target.")
    if kernel_size is None and "chainer" in (source, target):
        raise ValueError(f"{op}: expected the pooling's kernel_size, since chainer counts inside the window, got None. "
                         f"Pass kernel_size, stride, padding and dilation of the pooling.")
    kernel_size = 1 if kernel_size is None else kernel_size  # then nobody looks at it
    frame = _frame(op, numbers, input_shape, kernel_size, stride, padding, dilation, include_batch)
    y, x = CONVENTIONS[source].read(numbers, frame)
    _refuse(op, (y < 0) | (y >= h) | (x < 0) | (x >= w), numbers, f"of {source} inside its own plane of {h}x{w}")
    written = CONVENTIONS[target].write(y, x, frame)
    _refuse(op, written == NOWHERE, numbers, f"of {source} under a tap of its window (kernel {frame.kernel})")
    if target == "tensorflow":
        written = written.transpose(0, 2, 3, 1)
    return frame.xp.ascontiguousarray(written).astype(CONVENTIONS[target].dtype)


def _whole_numbers(op: str, indices: Any) -> Array:
    """`indices` as int64, four axes."""
    dtype = getattr(indices, "dtype", None)
    if dtype is None or dtype.kind not in "iuf" or (dtype.kind == "f" and not (indices % 1 == 0).all()):
        raise TypeError(f"{op}: expected an array of whole numbers, got {dtype or type(indices).__name__}. "
                        f"Pass pooling indices; Caffe's may be floats, but not fractions.")
    if indices.ndim != 4:
        raise ValueError(f"{op}: expected indices with 4 axes, got shape {indices.shape}. Add the batch axis.")
    return indices.astype("int64")


def _frame(
    op: str, numbers: Array, input_shape: tuple[int, ...], kernel_size: Any, stride: Any, padding: Any, dilation: Any,
    include_batch: bool,
) -> _Frame:
    xp = array_module(numbers)
    images, channels, oh, ow = numbers.shape
    kernel, dilations = pair(op, "kernel_size", kernel_size, 1), pair(op, "dilation", dilation, 1)
    sh, sw = kernel if stride is None else pair(op, "stride", stride, 1)
    sides = parse_padding(op, padding)
    return _Frame(
        xp, (channels, *input_shape[2:]), xp.arange(images)[:, None, None, None], xp.arange(channels)[:, None, None],
        (xp.arange(oh) * sh - sides.top)[:, None], xp.arange(ow) * sw - sides.left, kernel, dilations, include_batch,
    )


def _refuse(op: str, bad: Array, numbers: Array, what: str) -> None:
    """Raise for the first index where `bad` is True."""
    if bad.any():
        n, c, p, q = (int(axis[0]) for axis in bad.nonzero())
        raise ValueError(f"{op}: expected each index {what}, got {int(numbers[n, c, p, q])} for image {n}, channel "
                         f"{c}, window ({p}, {q}). Check source, input_shape and the pooling's options.")
