"""Cases of convolutions and transposed convolutions.

Three phases of a convolution are measured:

    inference   the weight is frozen and was prepared once, outside the measurement
    training    the forward pass of a step, where the weight is new each time
    gradients   those of input, weight and bias together, after a recorded forward

FLOPs are those of the direct algorithm, two for each tap of each output number, those in the padding included. An
algorithm that gets by with fewer multiplications (Winograd) may so reach more than the processor's peak.
"""

from typing import Any

import numpy as np

from minifcn import init, ops
from minifcn.ops.geometry import window_count

from .cases import Case, Dimensions, Pass
from .inputs import aligned, normal, several


def convolution(
    dimensions: Dimensions, phase: str, channels: int, filters: int, kernel_size: int, size: tuple[int, int], *,
    groups: int = 1, need_input: bool = True, **steps: int,
) -> Case:
    """channels > filters on maps of `size` (H, W); `steps`: stride, padding, dilation, the same both ways."""
    rng = np.random.default_rng(0)
    n, c, o = dimensions.batch, dimensions.channels(channels), dimensions.channels(filters)
    stride, padding, dilation = steps.get("stride", 1), steps.get("padding", 0), steps.get("dilation", 1)
    h, w = (dimensions.size(side, least=kernel_size) for side in size)
    oh, ow = (window_count(side, kernel_size, stride, padding, padding, dilation) for side in (h, w))
    fan_in = c // groups * kernel_size**2
    weight = normal(rng, o, c // groups, kernel_size, kernel_size, std=(2 / fan_in) ** 0.5)
    options: dict[str, Any] = {**steps, "groups": groups}
    prepared = phase == "inference"
    if prepared:
        run = with_prepared(ops.conv2d, ops.prepare_conv2d, weight, (h, w), options)
    else:
        def run(*arrays: np.ndarray) -> tuple:
            return ops.conv2d(*arrays, **options)
    case = Pass(
        run, ops.conv2d_backward, "conv2d", [(x,) for x in several(rng, n, c, h, w)],
        (weight, normal(rng, o)), options,
        gys=several(rng, n, o, oh, ow) if phase == "gradients" else (), needs=(need_input, True, True),
    )
    flops = 2.0 * n * o * oh * ow * fan_in
    if phase == "gradients":
        return case.case("backward", flops=flops * (1 + need_input))
    return case.case("forward", flops=flops)


def transposed(dimensions: Dimensions, phase: str, channels: int, kernel_size: int, stride: int, size: int) -> Case:
    """A learned upsampling, every channel to every channel; phase "forward" or "gradients" (of input and weight)."""
    rng = np.random.default_rng(0)
    n, c, h = dimensions.batch, dimensions.channels(channels), dimensions.size(size)
    oh = stride * (h - 1) + kernel_size
    options = {"stride": stride}

    def run(*arrays: np.ndarray) -> tuple:
        return ops.conv_transpose2d(*arrays, **options)

    case = Pass(
        run, ops.conv_transpose2d_backward, "conv_transpose2d", [(x,) for x in several(rng, n, c, h, h)],
        (normal(rng, c, c, kernel_size, kernel_size, std=0.1),), options, needs=(True, True),
        gys=several(rng, n, c, oh, oh) if phase == "gradients" else (),
    )
    case.backward = lambda gy, cache, needs: ops.conv_transpose2d_backward(gy, cache, needs=(*needs, False))[:2]
    flops = 2.0 * n * (c * h * kernel_size) ** 2
    if phase == "gradients":
        return case.case("backward", flops=2 * flops)
    return case.case("forward", flops=flops)


def bilinear(dimensions: Dimensions, channels: int, factor: int, size: int, *, peer_knows: bool = False) -> Case:
    """The frozen bilinear upsampling of the FCNs. Its weight is a full CxC one, with zeros beside the diagonal.

    PyTorch multiplies these zeros. With `peer_knows` its side is written by somebody who knows that they are zeros, and
    gives it one filter a channel (groups = channels).
    """
    rng = np.random.default_rng(0)
    n, c, h, k = dimensions.batch, dimensions.channels(channels), dimensions.size(size), 2 * factor
    weight = aligned((c, c, k, k))
    weight[...] = init.make(init.bilinear, weight.shape, rng, np.dtype(np.float32))
    options: dict[str, Any] = {"stride": factor}
    inputs = [(x,) for x in several(rng, n, c, h, h)]
    run = with_prepared(ops.conv_transpose2d, ops.prepare_conv_transpose2d, weight, (h, h), options)
    case = Pass(run, None, "conv_transpose2d", inputs, (weight,), options).case("forward")
    if peer_knows:
        diagonal = np.ascontiguousarray(weight[range(c), range(c)][:, None])  # (C, 1, K, K)
        aware = Pass(run, None, "conv_transpose2d", inputs, (diagonal,), {**options, "groups": c}).case("forward")
        case.peers = aware.peers
    case.traffic = 4.0 * n * c * (h**2 + (factor * (h - 1) + k) ** 2)
    return case


def with_prepared(op: Any, prepare: Any, weight: np.ndarray, input_size: tuple[int, int], options: dict) -> Any:
    """The op as a frozen Graph runs it: with a read-only weight, prepared once, at the first call."""
    frozen = weight.view()
    frozen.flags.writeable = False
    prepared: list[Any] = []

    def run(x: np.ndarray, same_weight: np.ndarray, *bias: np.ndarray) -> tuple:
        if not prepared:
            prepared.append(prepare(frozen, input_size=input_size, **options))
        return op(x, frozen, *bias, prepared=prepared[0], **options)

    return run
