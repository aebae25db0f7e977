"""How much each pixel counts in U-Net's loss: what its class counts, and more in narrow gaps between two instances.

Cells of one class that touch are one blob to a network that only names classes. U-Net's ground truth has a thin line of
background between them, and makes these few pixels count far more than others:

    w(x) = w_c(x) + w0 * exp(-(d1(x) + d2(x))^2 / (2 sigma^2))

w_c balances the classes; d1 and d2 are the distances to the nearest and to the second nearest instance.
Source: Ronneberger, Fischer, Brox 2015 (arXiv 1505.04597), section 3, equation 2.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .dataset import VOID, Array

# Where d2 alone is more than so many sigmas, exp is below 3e-18: beside a class weight near 1, nothing.
_REACH = 9


def unet_weight_map(
    labels: Array, class_weights: ArrayLike | None = None, instances: Array | None = None, *, w0: float = 10.0,
    sigma: float = 5.0, background: int = 0,
) -> Array:
    """The whole map: the class weight of each pixel's label, plus `border_weights`; void pixels (255) get 0.

    The paper leaves open how w_c is computed (it is to balance the class frequencies): here any class weights do, one
    number a class. It does not say whether the second term counts inside instances too, where d1 is 0, nor which
    pixels of a border distances are measured from: see `border_weights` for what is done here. It computes the map once
    for each mask; `minifcn train` computes it from the label as augmentation left it, so that gaps are as wide as seen.

    Args:
        labels: (H, W) integers, 0 ... K-1 and 255.
        class_weights: (K,) numbers, finite and 0 or more; None: all 1.
        instances, w0, sigma, background: as in `border_weights`.

    Returns (H, W) float64, for `pixel_weight` of the loss. Raises what `border_weights` does, and ValueError for class
    weights that are not of this kind and for labels that have none.
    """
    border = border_weights(labels, instances, w0=w0, sigma=sigma, background=background)  # (H, W)
    valid = labels != VOID
    if class_weights is None:
        return np.where(valid, 1.0, 0.0) + border
    weights = np.asarray(class_weights, dtype=np.float64)
    if weights.ndim != 1 or not ((weights >= 0) & (weights < np.inf)).all():
        raise ValueError(f"unet_weight_map: expected class weights (K,), each finite and 0 or more, got "
                         f"{weights.tolist()}. Give one number for each class.")
    _refuse("unet_weight_map", valid & ((labels < 0) | (labels >= weights.size)), labels,
            f"labels 0..{weights.size - 1} ({weights.size} class weights) or 255 (void)",
            "Give as many weights as there are classes")
    return np.where(valid, weights[np.where(valid, labels, 0)], 0.0) + border


def border_weights(
    labels: Array, instances: Array | None = None, *, w0: float = 10.0, sigma: float = 5.0, background: int = 0
) -> Array:
    """w0 * exp(-(d1 + d2)^2 / (2 sigma^2)) on pixels of the background, 0 on all others.

    d1 and d2 are Euclidean distances in pixels, from the pixel's centre to the nearest centre of a pixel of the nearest
    and of the second nearest instance: in a gap of one pixel d1 = d2 = 1. Where there is no second instance there is no
    gap, and the map is 0. It is also 0 where d2 exceeds 9 sigma and the formula gives less than 3e-18 w0.

    Args:
        labels: (H, W) integers, class numbers; 255 is void, which is neither background nor instance.
        instances: (H, W) integers, a number of its own for the pixels of each instance, 0 for none. None: the connected
            parts (of pixels that share a side) of each class but the background.
        w0, sigma: height, and width in pixels; 10 and about 5 in the paper.
        background: the class between the instances.

    Returns (H, W) float64. Raises TypeError unless labels and instances are integers; ValueError for shapes that do not
    fit, for pixels of a class without an instance and instances on the background (how many, and where), and for a w0
    or sigma out of range.
    """
    _check(labels, w0, sigma)
    if instances is None:
        numbers = _connected_parts(labels, background)
    else:
        numbers = _checked_instances(labels, instances, background)
    nearest, second = _two_distances(numbers, int(np.ceil(_REACH * sigma)))
    second[second > _REACH * sigma] = np.inf
    return np.where(labels == background, w0 * np.exp(-((nearest + second) ** 2) / (2 * sigma**2)), 0.0)


def _connected_parts(labels: Array, background: int) -> Array:
    """The connected parts of each class, numbered from 1 on: (H, W)."""
    from scipy.ndimage import label

    numbers, count = np.zeros(labels.shape, np.int64), 0
    for value in np.unique(labels).tolist():
        if value not in (background, VOID):
            parts, found = label(labels == value)
            numbers += np.where(parts > 0, parts + count, 0)
            count += found
    return numbers


def _checked_instances(labels: Array, instances: Any, background: int) -> Array:
    """The given instances, numbered from 1 on without gaps: (H, W)."""
    if getattr(getattr(instances, "dtype", None), "kind", "") not in ("i", "u"):
        raise TypeError(f"border_weights: expected instances as an array of integers, got "
                        f"{getattr(instances, 'dtype', type(instances).__name__)}. Number them from 1, 0 for none.")
    if instances.shape != labels.shape:
        raise ValueError(f"border_weights: expected instances of the labels' shape {labels.shape}, got "
                         f"{instances.shape}. Crop or resize both alike.")
    inside = (labels != background) & (labels != VOID)  # an instance may reach into void, which annotators draw around
    some = instances != 0
    _refuse("border_weights", inside & ~some, instances, "an instance (not 0) at each pixel of a class",
            "Complete the instance map, or leave it out to take connected parts")
    _refuse("border_weights", (labels == background) & some, instances, f"no instance (0) on the background, class "
            f"{background}", "Set these pixels to 0, or give them a class")
    known = np.unique(instances[some])
    return np.where(some, np.searchsorted(known, instances) + 1, 0)


def _two_distances(numbers: Array, reach: int) -> tuple[Array, Array]:
    """To the nearest and to the second nearest instance, (H, W) each; infinite where that is out of reach.

    One instance after the other, each in a window of `reach` pixels around it: two maps are kept, however many
    instances there are, and small instances cost little.
    """
    from scipy.ndimage import distance_transform_edt, find_objects

    nearest, second = np.full(numbers.shape, np.inf), np.full(numbers.shape, np.inf)
    for number, place in enumerate(find_objects(numbers), start=1):
        window = tuple(slice(max(0, side.start - reach), side.stop + reach) for side in place)
        distance = distance_transform_edt(numbers[window] != number)
        one, two = nearest[window], second[window]  # views
        np.minimum(two, np.maximum(one, distance), out=two)
        np.minimum(one, distance, out=one)
    return nearest, second


def _check(labels: Any, w0: float, sigma: float) -> None:
    if getattr(getattr(labels, "dtype", None), "kind", "") not in ("i", "u"):
        raise TypeError(f"border_weights: expected labels as an array of integers, got "
                        f"{getattr(labels, 'dtype', type(labels).__name__)}. Pass one label map.")
    if labels.ndim != 2 or not labels.size:
        raise ValueError(f"border_weights: expected labels (H, W) of one pixel or more, got shape {labels.shape}. "
                         f"Make the map of each image by itself.")
    if not 0 <= w0 < np.inf or not 0 < sigma < np.inf:
        raise ValueError(f"border_weights: expected w0 of 0 or more and sigma above 0, both finite, got w0 {w0} and "
                         f"sigma {sigma}. The paper has 10 and 5.")


def _refuse(who: str, wrong: Array, values: Array, expected: str, advice: str) -> None:
    """Raises ValueError if pixels are wrong, with the first of them and how many there are."""
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(f"{who}: expected {expected}, got {values[row, column]} at row {row}, column {column} "
                         f"({np.count_nonzero(wrong)} such pixels in all). {advice}.")
