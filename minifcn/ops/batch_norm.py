"""Batch normalisation: each channel to mean 0 and variance 1, then scaled and shifted by two learned numbers.

    y = weight * (x - mean) / sqrt(var + eps) + bias

In training mean and var are those of the batch, and running averages of them are kept aside; in evaluation the running
ones are used, so that one image's result does not depend on what else is in its batch. Ioffe, Szegedy 2015.
"""

from ..kernels import array_module, kernels_for
from .check import Array, check_alike, check_array, check_gradient, wanted


def batch_norm(
    x: Array, weight: Array, bias: Array, *,
    running_mean: Array, running_var: Array, training: bool, momentum: float = 0.1, eps: float = 1e-5,
) -> tuple[Array, tuple]:
    """Normalise every channel over images and pixels.

    Args:
        x: (N, C, H, W), float32 or float64.
        weight, bias: (C,), dtype of x.
        running_mean, running_var: (C,), dtype of x. **In training they are changed in place**, the one side effect
            of an op: running = (1 - momentum) * running + momentum * batch. As in PyTorch the biased variance
            normalises, and the unbiased one (divided by N*H*W - 1) goes to the running average.
        training: normalise by the batch's own statistics (True) or by the running ones (False).
        momentum: weight of the newest batch in the running averages, 0 to 1.
        eps: added to the variance, more than 0.

    Returns:
        y (N, C, H, W), and the cache for `batch_norm_backward`.

    Raises ValueError for shapes that do not fit, or for a single value per channel in training; TypeError for dtypes
    or devices that differ.
    """
    mean, inv_std = checked_statistics(
        "batch_norm", x, weight, bias, running_mean, running_var, training, momentum, eps)
    y = kernels_for(x).batch_norm_normalize(x, mean, inv_std, weight, bias)
    return y, (x, mean, inv_std, weight, training)


def batch_norm_backward(gy: Array, cache: tuple, *, needs: tuple[bool, ...] | None = None) -> tuple:
    """Gradients of `batch_norm`: (gx, gweight, gbias), None where not needed.

    After a forward in training the batch's statistics are part of the function and have their share in gx.
    """
    op = "batch_norm_backward"
    x, mean, inv_std, weight, training = cache
    check_gradient(op, gy, x.shape, x.dtype)
    needs = wanted(op, needs, 3)
    if not any(needs):
        return None, None, None
    kernels = kernels_for(gy)
    grad = kernels.batch_norm_grad if training else kernels.batch_norm_frozen_grad
    gradients = grad(gy, x, mean, inv_std, weight)
    return tuple(gradient if need else None for gradient, need in zip(gradients, needs, strict=True))


def checked_statistics(
    op: str, x: Array, weight: Array, bias: Array, running_mean: Array, running_var: Array, training: bool,
    momentum: float, eps: float,
) -> tuple[Array, Array]:
    """The arguments of `batch_norm` checked, the running statistics updated: mean (C,) and 1 / deviation (C,)."""
    check_array(op, "x", x, "N C H W")
    arrays = {"weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var}
    for name, array in arrays.items():
        if getattr(array, "shape", None) != (x.shape[1],):
            raise ValueError(f"{op}: expected {name} of shape ({x.shape[1]},), one number for each channel of x, got "
                             f"{getattr(array, 'shape', array)}. Change num_features of the layer or the input.")
    check_alike(op, x, **arrays)
    check_settings(op, momentum, eps)
    kernels = kernels_for(x)
    if training:
        _check_enough_values(op, x)
        mean, var = kernels.batch_norm_statistics(x)  # (C,), (C,)
        _update_running(running_mean, running_var, mean, var, x.size // x.shape[1], momentum)
    else:
        mean, var = running_mean.copy(), running_var  # a copy for the cache: a later training step changes it in place
    return mean, 1 / array_module(x).sqrt(var + float(eps))


def check_settings(who: str, momentum: float, eps: float) -> None:
    """The layer asks for this when it is made, so that a slip shows at once. Raises ValueError."""
    if not 0 <= momentum <= 1:
        raise ValueError(f"{who}: expected momentum from 0 to 1, got {momentum}. It is the weight of the newest batch "
                         f"in the running averages; 0.1 is usual.")
    if not eps > 0:
        raise ValueError(f"{who}: expected eps above 0, got {eps}. It keeps a constant channel from dividing by zero; "
                         f"1e-5 is usual.")


def _check_enough_values(op: str, x: Array) -> None:
    if x.shape[0] * x.shape[2] * x.shape[3] < 2:
        raise ValueError(f"{op}: expected more than one value per channel in training (one value alone has no "
                         f"variance), got x of shape {x.shape}. Use a larger batch and leave out a last, incomplete "
                         f"one; or call eval() on the layer, which then uses its running statistics.")


def _update_running(
    running_mean: Array, running_var: Array, mean: Array, var: Array, count: int, momentum: float
) -> None:
    for running, new in ((running_mean, mean), (running_var, var * (count / (count - 1)))):
        running *= 1 - momentum
        running += momentum * new
