"""Softmax cross-entropy over pixels: the loss that every network here is trained with.

Each pixel is one classification; what differs between papers is how the pixels are put together (`reduction`). FCN's
reference code sums, so its losses are in the hundred thousands and its learning rates near 1e-10; dividing by the
number of pixels instead asks for a learning rate larger by that number.

    "sum"     the sum of weight * loss over the valid pixels
    "mean"    divided by the sum of their weights (PyTorch)
    "valid"   divided by the number of valid pixels (Caffe, normalize: true)
    "batch"   divided by the number of images (Caffe, normalize: false)

The weight of a pixel is that of its class, times its own in a map of pixel weights (U-Net), times 1 where not given.
"""

import numbers
from typing import Any

import numpy as np

from ..arrays import numbers_of
from ..kernels import array_module, kernels_for
from .check import Array, check_alike, check_array, wanted

REDUCTIONS = ("sum", "mean", "valid", "batch")


def softmax_cross_entropy(
    x: Array, target: Array, *, weight: Array | None = None, pixel_weight: Array | None = None, ignore_index: int = 255,
    reduction: str = "mean",
) -> tuple[Array, tuple]:
    """How surprised the scores x are by the labels.

    Args:
        x: scores (N, C, H, W), float32 or float64, of any size: softmax is part of the loss.
        target: labels (N, H, W), any integer dtype, each a class 0 ... C-1 or ignore_index.
        weight: (C,), dtype of x; how much a pixel of each class counts. None counts all alike.
        pixel_weight: (N, H, W), dtype of x, finite, 0 or more; how much each pixel counts beside that. It is given, not
            learned, and gets no gradient. None counts all alike.
        ignore_index: label of the pixels that count nowhere, void.
        reduction: "sum", "mean", "valid" or "batch", see above.

    Returns:
        y, a 0-d array of x's dtype, and the cache for `softmax_cross_entropy_backward`.

    Raises ValueError for shapes that do not fit, for a label that is no class or a pixel weight that is negative or not
    finite (with its place), and where "mean" or "valid" would divide by zero; TypeError for dtypes or devices.
    """
    op = "softmax_cross_entropy"
    check_array(op, "x", x, "N C H W")
    _check_target(op, x, target)
    check_settings(op, ignore_index, reduction)
    classes = x.shape[1]
    check_alike(op, x, weight=weight, pixel_weight=pixel_weight)
    if weight is not None and weight.shape != (classes,):
        raise ValueError(f"{op}: expected weight of shape ({classes},), one number for each class of x, "
                         f"got {weight.shape}. Give as many class weights as the network has classes.")
    xp = array_module(x)
    labels, wrong = _labels(target, classes, ignore_index)  # (N, H, W) int32, (N, H, W)
    odd = _odd_weights(op, x, pixel_weight)  # (N, H, W), or False
    if xp is np:
        _refuse(op, wrong, odd, target, pixel_weight, classes, ignore_index)
    else:  # it takes long to ask a GPU, so that is done below, once; till then a wrong label may not be looked up
        labels = xp.where(wrong, int(ignore_index), labels).astype(np.int32, copy=False)
    weight = xp.ones(classes, x.dtype) if weight is None else weight
    parts = kernels_for(x).softmax_cross_entropy(x, labels, weight, pixel_weight, int(ignore_index))
    total, weight_total, valid, log_sum_exp = parts
    if xp is not np:
        *any_bad, valid, weight_total = numbers_of(wrong.any(), odd if odd is False else odd.any(), valid, weight_total)
        if any(any_bad):
            _refuse(op, wrong, odd, target, pixel_weight, classes, ignore_index)
    divisor = _divisor(op, reduction, x.shape[0], int(valid), weight_total, labels.size)
    y = xp.asarray(total / divisor, dtype=x.dtype)
    return y, (x, labels, weight, pixel_weight, log_sum_exp, int(ignore_index), divisor)


def softmax_cross_entropy_backward(
    gy: Any, cache: tuple, *, needs: tuple[bool, ...] | None = None
) -> Array | None:
    """Gradient of `softmax_cross_entropy`: gx (N, C, H, W), None if not needed; gy is a number, usually 1.

    At a valid pixel it is the probabilities, minus 1 at the label, times the pixel's weight; at an ignored one 0.
    """
    op = "softmax_cross_entropy_backward"
    x, labels, weight, pixel_weight, log_sum_exp, ignore_index, divisor = cache
    if getattr(gy, "shape", ()) != () or not hasattr(gy, "__float__"):
        raise ValueError(f"{op}: expected gy as a single number, the loss being one, "
                         f"got {getattr(gy, 'shape', type(gy).__name__)}. Pass 1.0.")
    (need_x,) = wanted(op, needs, 1)
    if not need_x:
        return None
    scale = float(gy) / divisor
    passes = kernels_for(x)
    return passes.softmax_cross_entropy_grad(x, labels, weight, pixel_weight, log_sum_exp, ignore_index, scale)


def check_settings(who: str, ignore_index: Any, reduction: str) -> None:
    """The layer asks for this when it is made, so that a slip shows at once. Raises TypeError or ValueError."""
    if not isinstance(ignore_index, numbers.Integral) or not -(2**31) <= int(ignore_index) < 2**31:
        raise TypeError(f"{who}: expected ignore_index as a 32-bit int, got {ignore_index!r}. "
                        f"Use 255, or -1 if no pixel is to be ignored.")
    if reduction not in REDUCTIONS:
        raise ValueError(f"{who}: expected reduction to be one of {', '.join(REDUCTIONS)}, got {reduction!r}. "
                         f"Choose one of these.")


def _check_target(op: str, x: Array, target: Any) -> None:
    if getattr(getattr(target, "dtype", None), "kind", "") not in ("i", "u"):
        raise TypeError(f"{op}: expected target as an array of integers, got "
                        f"{getattr(target, 'dtype', type(target).__name__)}. Convert it with astype(numpy.int64).")
    if array_module(target) is not array_module(x):
        raise TypeError(f"{op}: expected target on the device of x ({array_module(x).__name__}), "
                        f"got a {array_module(target).__name__} array. Move one with minifcn.arrays.to_device.")
    expected = (x.shape[0], *x.shape[2:])
    if target.shape != expected:
        raise ValueError(f"{op}: expected target of shape {expected}, one label for each pixel of x {x.shape}, "
                         f"got {target.shape}. Labels have no channel axis; crop or resize to one size.")
    if x.size == 0:
        raise ValueError(f"{op}: expected at least one image, class and pixel, got x of shape {x.shape}. "
                         f"Leave out empty batches.")


def _odd_weights(op: str, x: Array, pixel_weight: Array | None) -> Any:
    """Where a pixel weight is no number that a pixel can count, (N, H, W); False without pixel weights."""
    if pixel_weight is None:
        return False
    expected = (x.shape[0], *x.shape[2:])
    if pixel_weight.shape != expected:
        raise ValueError(f"{op}: expected pixel_weight of shape {expected}, one number for each pixel of x {x.shape}, "
                         f"got {pixel_weight.shape}. Crop or resize it as the labels.")
    return ~((pixel_weight >= 0) & (pixel_weight < np.inf))  # NaN is in neither


def _labels(target: Array, classes: int, ignore_index: int) -> tuple[Array, Array]:
    """The labels as int32, the one dtype that kernels know, and which of them are wrong: both (N, H, W)."""
    labels = target.astype(np.int32)
    # A dtype that int32 cannot hold may have wrapped around into a legal label: then the given numbers are compared.
    exact = labels if np.can_cast(target.dtype, np.int32) else target.astype(np.int64, copy=False)
    unsigned = exact.view(f"u{exact.itemsize}")  # a negative number becomes a huge one: one comparison less
    return labels, (unsigned >= classes) & (exact != ignore_index)


def _refuse(
    op: str, wrong: Array, odd: Any, target: Array, pixel_weight: Array | None, classes: int, ignore_index: int,
) -> None:
    """Raise ValueError for the first pixel weight in `odd` or label in `wrong`, if there is one."""
    if pixel_weight is not None and bool(odd.any()):
        n, row, column = _first(odd)
        raise ValueError(f"{op}: expected pixel_weight finite and 0 or more, got {float(pixel_weight[n, row, column])} "
                         f"at image {n}, row {row}, column {column}. Look at how the weight map was made; 0 leaves a "
                         f"pixel out.")
    if bool(wrong.any()):
        n, row, column = _first(wrong)
        value = int(target[n, row, column])
        raise ValueError(f"{op}: expected labels 0..{classes - 1} (x has {classes} classes) or ignore_index "
                         f"{ignore_index}, got {value} at image {n}, row {row}, column {column}. Give the network more "
                         f"classes, correct the mask, or set ignore_index={value} if it marks void pixels.")


def _first(where: Array) -> tuple[int, ...]:
    """The place of the first True."""
    return tuple(int(i) for i in np.unravel_index(int(where.argmax()), where.shape))


def _divisor(op: str, reduction: str, images: int, valid: int, weight_total: Any, pixels: int) -> float:
    """What the sum of the losses is divided by. A loss of 0/0 would read as a perfect network: it is refused."""
    if reduction in ("sum", "batch"):
        return 1.0 if reduction == "sum" else float(images)
    if valid == 0:
        raise ValueError(f"{op}: expected at least one valid pixel (reduction {reduction!r} divides by them), got 0 "
                         f"valid pixels of {pixels}: every label is ignore_index. Leave this batch out, or look at how "
                         f"its masks were read.")
    if reduction == "valid":
        return float(valid)
    if float(weight_total) == 0:
        raise ValueError(f"{op}: expected weights that are not zero for every label of the batch, by class or by pixel "
                         f"(reduction 'mean' divides by their sum), got sum 0 over {valid} valid pixels. Give positive "
                         f"weights, or use reduction='valid'.")
    return float(weight_total)
