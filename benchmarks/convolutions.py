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
from .inputs import aligned


def convolution(
    dimensions: Dimensions, phase: str, channels: int, filters: int, kernel_size: int, size: tuple[int, int], *,
    groups: int = 1, need_input: bool = True, **steps: int,
) -> Case:
    """channels > filters on maps of `size` (H, W); `steps`: stride, padding, dilation, the same both ways."""
    rng, place = np.random.default_rng(0), dimensions.place
    n, c, o = dimensions.batch, dimensions.channels(channels), dimensions.channels(filters)
    stride, padding, dilation = steps.get("stride", 1), steps.get("padding", 0), steps.get("dilation", 1)
    h, w = (dimensions.size(side, least=kernel_size) for side in size)
    oh, ow = (window_count(side, kernel_size, stride, padding, padding, dilation) for side in (h, w))
    fan_in = c // groups * kernel_size**2
    weight = place.normal(rng, o, c // groups, kernel_size, kernel_size, std=(2 / fan_in) ** 0.5)
    options: dict[str, Any] = {**steps, "groups": groups}
    prepared = phase == "inference"
    if prepared:
        run = with_prepared(ops.conv2d, ops.prepare_conv2d, weight, (h, w), options)
    else:
        def run(*arrays: np.ndarray) -> tuple:
            return ops.conv2d(*arrays, **options)
    case = Pass(
        run, ops.conv2d_backward, "conv2d", [(x,) for x in place.several(rng, n, c, h, w)],
        (weight, place.normal(rng, o)), options,
        gys=place.several(rng, n, o, oh, ow) if phase == "gradients" else (), needs=(need_input, True, True),
    )
    flops = 2.0 * n * o * oh * ow * fan_in
    numbers = {"x": n * c * h * w, "weight": weight.size, "bias": o, "y": n * o * oh * ow}
    return _with_costs(case, phase, flops, numbers, need_input)


def _with_costs(case: Pass, phase: str, flops: float, numbers: dict[str, int], need_input: bool = True) -> Case:
    """The gradients read input, weight and gy, and write as many numbers as input, weight and bias have."""
    moved = 4.0 * sum(numbers.values())
    if phase != "gradients":
        return case.case("forward", flops=flops, moved=moved)
    if need_input:  # else nobody reads the weight
        moved += 4.0 * (numbers["x"] + numbers["weight"])
    return case.case("backward", flops=flops * (1 + need_input), moved=moved)


def transposed(
    dimensions: Dimensions, phase: str, channels: int, kernel_size: int, stride: int, size: int,
    filters: int | None = None,
) -> Case:
    """A learned upsampling; phase "forward" or "gradients" (of input and weight)."""
    rng, place = np.random.default_rng(0), dimensions.place
    n, c, h = dimensions.batch, dimensions.channels(channels), dimensions.size(size)
    o = dimensions.channels(filters or channels)
    oh = stride * (h - 1) + kernel_size
    weight = place.normal(rng, c, o, kernel_size, kernel_size, std=0.1)
    options = {"stride": stride}

    def run(*arrays: np.ndarray) -> tuple:
        return ops.conv_transpose2d(*arrays, **options)

    case = Pass(
        run, ops.conv_transpose2d_backward, "conv_transpose2d", [(x,) for x in place.several(rng, n, c, h, h)],
        (weight,), options, needs=(True, True),
        gys=place.several(rng, n, o, oh, oh) if phase == "gradients" else (),
    )
    case.backward = lambda gy, cache, needs: ops.conv_transpose2d_backward(gy, cache, needs=(*needs, False))[:2]
    flops = 2.0 * n * c * o * (h * kernel_size) ** 2
    numbers = {"x": n * c * h * h, "weight": weight.size, "bias": 0, "y": n * o * oh * oh}
    return _with_costs(case, phase, flops, numbers)


def bilinear(dimensions: Dimensions, channels: int, factor: int, size: int, *, peer_knows: bool = False) -> Case:
    """The frozen bilinear upsampling of the FCNs. Its weight is a full CxC one, with zeros beside the diagonal.

    PyTorch multiplies these zeros. With `peer_knows` its side is written by somebody who knows that they are zeros, and
    gives it one filter a channel (groups = channels).
    """
    rng, place = np.random.default_rng(0), dimensions.place
    n, c, h, k = dimensions.batch, dimensions.channels(channels), dimensions.size(size), 2 * factor
    full = aligned((c, c, k, k))
    full[...] = init.make(init.bilinear, full.shape, rng, np.dtype(np.float32))
    weight = place.put(full)
    options: dict[str, Any] = {"stride": factor}
    inputs = [(x,) for x in place.several(rng, n, c, h, h)]
    run = with_prepared(ops.conv_transpose2d, ops.prepare_conv_transpose2d, weight, (h, h), options)
    case = Pass(run, None, "conv_transpose2d", inputs, (weight,), options).case("forward")
    if peer_knows:
        diagonal = place.put(np.ascontiguousarray(full[range(c), range(c)][:, None]))  # (C, 1, K, K)
        aware = Pass(run, None, "conv_transpose2d", inputs, (diagonal,), {**options, "groups": c}).case("forward")
        case.peers = aware.peers
    case.traffic = 4.0 * n * c * (h**2 + (factor * (h - 1) + k) ** 2)
    return case


def with_prepared(op: Any, prepare: Any, weight: np.ndarray, input_size: tuple[int, int], options: dict) -> Any:
    """The op as a frozen Graph runs it: with a read-only weight, prepared once, at the first call."""
    frozen = weight.view()
    if isinstance(frozen, np.ndarray):  # CuPy's arrays have no such flag
        frozen.flags.writeable = False
    prepared: list[Any] = []

    def run(x: np.ndarray, same_weight: np.ndarray, *bias: np.ndarray) -> tuple:
        if not prepared:
            prepared.append(prepare(frozen, input_size=input_size, **options))
        return op(x, frozen, *bias, prepared=prepared[0], **options)

    return run
