"""Elastic deformation: image and label bent alike, as if printed on rubber. U-Net was trained on 30 images with it.

A few random vectors on a coarse grid, 3x3, that spans the image say where its pixels come from; between them the
displacement is interpolated, so that neighbours move together.

Source: Ronneberger, Fischer, Brox 2015 (arXiv 1505.04597), section 3.1: vectors from a Gaussian of 10 pixels standard
deviation on a 3x3 grid, bicubic interpolation. It leaves open where the grid lies, which bicubic interpolation is
meant, and what is beyond the border. Here the corners of the grid are the centres of the corner pixels, the
interpolation is SciPy's cubic spline, flat at the border, and beyond the border the image is mirrored.
"""

import numpy as np

from .dataset import Array

GRID = (3, 3)  # vectors, down and across


def random_elastic(
    image: Array, label: Array, rng: int | np.random.Generator, sigma: float = 10.0
) -> tuple[Array, Array]:
    """Both bent alike; `sigma` is the standard deviation, in pixels, of each vector's two components.

    Ten pixels are meant for images of some hundred; shrink `sigma` with the image. Raises ValueError for one that is
    negative or not finite.
    """
    coarse = np.random.default_rng(rng).normal(0.0, check_sigma("random_elastic", sigma), (2, *GRID))
    return displace(image, label, interpolate(coarse, label.shape))


def interpolate(coarse: Array, size: tuple[int, ...]) -> Array:
    """Displacements (2, GH, GW) on a grid that spans the image -> (2, H, W), one for each pixel of `size` (H, W)."""
    from scipy.ndimage import map_coordinates

    axes = [np.linspace(0, count - 1, pixels) for count, pixels in zip(coarse.shape[1:], size, strict=True)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"))  # (2, H, W), in units of the grid
    return np.stack([map_coordinates(component, places, order=3, mode="mirror") for component in coarse])


def displace(image: Array, label: Array, displacements: Array) -> tuple[Array, Array]:
    """The image and label whose pixel (p, q) was at (p, q) + displacements[:, p, q] before.

    Args:
        image: (H, W, C) uint8 or float32, resampled bilinearly.
        label: (H, W), by nearest neighbour. Both are mirrored at their borders, where the border pixels stay single.
        displacements: (2, H, W), by rows and by columns, in pixels.

    Returns both in their dtypes. Raises ValueError for displacements of another shape, or that are not finite.
    """
    from scipy.ndimage import map_coordinates

    expected = (2, *label.shape)
    if displacements.shape != expected or not np.isfinite(displacements).all():
        raise ValueError(f"displace: expected finite displacements of shape {expected}, got shape "
                         f"{displacements.shape}, {np.isfinite(displacements).sum()} of {displacements.size} finite. "
                         f"Give each pixel of the label {label.shape} a row and a column to add.")
    places = np.indices(label.shape) + displacements  # (2, H, W)
    new_label = map_coordinates(label, places, order=0, mode="mirror")
    channels = [map_coordinates(channel, places, np.float64, order=1, mode="mirror")
                for channel in np.moveaxis(image, 2, 0)]
    new_image = np.stack(channels, axis=2)  # (H, W, C)
    return (np.rint(new_image) if image.dtype == np.uint8 else new_image).astype(image.dtype), new_label


def check_sigma(who: str, sigma: float) -> float:
    """`sigma` itself. Raises ValueError unless it is 0 or more, and finite."""
    if not 0 <= sigma < np.inf:
        raise ValueError(f"{who}: expected a standard deviation of 0 pixels or more, got {sigma}. U-Net has 10, and 0 "
                         f"leaves the image as it is.")
    return sigma
