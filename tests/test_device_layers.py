"""Every layer on a GPU, the stand-in for one: forward and backward are NumPy's bit for bit, and nothing is copied.

The configurations are those of `minifcn gradcheck`.
"""

import copy

import numpy as np
import pytest

from minifcn import ops
from minifcn.arrays import numbers_of, to_device
from minifcn.gradcheck.cases import ROWS
from minifcn.layers import PoolRecord
from minifcn.ops.pool_indices import CONVENTIONS
from minifcn.testing import tie_free

CASES = [(name, number) for name, cases in ROWS.items() for number in range(len(list(cases())))]


def case_of(name, number, dtype):
    layer, xs = list(ROWS[name]())[number]
    return moved(layer, lambda array: array.astype(dtype)), tuple(as_dtype(x, dtype) for x in xs)


def as_dtype(x, dtype):
    return x.astype(dtype) if getattr(x, "dtype", np.dtype(int)).kind == "f" else x


def moved(layer, move):
    """A copy of a layer whose parameters and buffers went through `move`."""
    layer = copy.deepcopy(layer)
    for parameter in layer.parameters().values():
        parameter.replace(move(parameter.data))
    for name, array in layer.buffers().items():
        layer.set_buffer(name, move(array))
    return layer


def on_gpu(x):
    return PoolRecord(to_device(x.indices, "cuda"), x.size) if isinstance(x, PoolRecord) else to_device(x, "cuda")


def results(layer, xs, gy_of):
    """All that a layer computes: outputs, gradients of the inputs and of the parameters, buffers."""
    y = layer.forward(*xs, record=True)
    y = y[0] if isinstance(y, tuple) else y
    gxs = layer.backward(*([gy_of(y)] if y.ndim else []))
    gxs = gxs if isinstance(gxs, tuple) else (gxs,)
    return [y, *gxs, *(p.grad for p in layer.parameters().values()), *layer.buffers().values()]


# What a layer copies each time it is applied, by the function that does: everything else stays where it is.
COPIES = {
    "MaxUnpool2d": [("out", "_check_bounds")],  # one number: an index outside would write anywhere
    "SoftmaxCrossEntropy": [("out", "numbers_of")],  # are the labels classes, and what to divide by
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_layer_computes_what_it_does_on_numpy(name, number, dtype, cupy):
    layer, xs = case_of(name, number, dtype)
    if hasattr(layer, "pixel_weight"):
        layer.pixel_weight = layer.pixel_weight.astype(dtype)
    twin, there = moved(layer, lambda array: to_device(array, "cuda")), [on_gpu(x) for x in xs]
    if hasattr(twin, "pixel_weight"):
        twin.pixel_weight = to_device(twin.pixel_weight, "cuda")
    gy = {}

    def gy_of(y):
        if not gy:
            gy[np.ndarray] = np.random.default_rng(5).normal(size=y.shape).astype(dtype)
            gy[cupy.ndarray] = to_device(gy[np.ndarray], "cuda")
        return gy[type(y)]

    for array, wanted in zip(results(twin, there, gy_of), results(layer, xs, gy_of), strict=True):
        assert (array is None) == (wanted is None)
        if wanted is not None:
            assert isinstance(array, cupy.ndarray)
            assert array.dtype == wanted.dtype
            np.testing.assert_array_equal(array.get(), wanted)
    before = len(cupy.stand_in.copies)
    results(twin, there, gy_of)
    copies = [(copy.way, copy.where) for copy in cupy.stand_in.copies[before:]]
    assert copies == COPIES.get(name, [])


BAD_LABEL = r"softmax_cross_entropy: expected labels 0\.\.3 .* got 4 at image 1, row 2, column 3\. Give the network"


def test_a_wrong_label_is_told_as_on_the_cpu(cupy):
    x, target = np.zeros((2, 4, 6, 7), np.float32), np.zeros((2, 6, 7), np.int64)
    target[1, 2, 3] = 4
    with pytest.raises(ValueError, match=BAD_LABEL):
        ops.softmax_cross_entropy(to_device(x, "cuda"), to_device(target, "cuda"))
    target[1, 2, 3] = -(2**31)  # would be far outside, if somebody looked it up
    with pytest.raises(ValueError, match="got -2147483648 at image 1, row 2, column 3"):
        ops.softmax_cross_entropy(to_device(x, "cuda"), to_device(target, "cuda"))


def test_an_odd_pixel_weight_is_told_as_on_the_cpu(cupy):
    x, target = to_device(np.zeros((2, 4, 6, 7), np.float32), "cuda"), to_device(np.zeros((2, 6, 7), np.int64), "cuda")
    for value in (-1.0, np.nan, np.inf):
        weight = np.ones((2, 6, 7), np.float32)
        weight[0, 5, 6] = value
        with pytest.raises(ValueError, match=f"expected pixel_weight finite and 0 or more, got {value} at image 0, "
                                             f"row 5, column 6"):
            ops.softmax_cross_entropy(x, target, pixel_weight=to_device(weight, "cuda"))


def test_void_alone_has_no_loss(cupy):
    x, target = np.zeros((1, 2, 3, 3), np.float32), np.full((1, 3, 3), 255)
    with pytest.raises(ValueError, match="expected at least one valid pixel"):
        ops.softmax_cross_entropy(to_device(x, "cuda"), to_device(target, "cuda"))


def test_an_index_outside_its_plane_is_told_as_on_the_cpu(cupy):
    x, indices = np.zeros((1, 2, 2, 2), np.float32), np.zeros((1, 2, 2, 2), np.int32)
    indices[0, 1, 0, 1] = 12
    with pytest.raises(ValueError, match=r"expected indices from 0 to 11, .* got 12 at \(0, 1, 0, 1\)"):
        ops.max_unpool2d(to_device(x, "cuda"), to_device(indices, "cuda"), output_size=(3, 4))


def test_arrays_of_host_and_device_do_not_meet(cupy):
    x, weight = np.zeros((1, 2, 5, 5), np.float32), np.zeros((3, 2, 3, 3), np.float32)
    with pytest.raises(TypeError, match=r"expected weight on the device of x \(cupy\), got a numpy array"):
        ops.conv2d(to_device(x, "cuda"), weight)


@pytest.mark.parametrize("source", CONVENTIONS)
@pytest.mark.parametrize("target", CONVENTIONS)
def test_pooling_indices_of_others(source, target, cupy):
    options = {"kernel_size": 2, "stride": 2}
    (_, indices), _ = ops.max_pool2d(tie_free((2, 3, 4, 6)), return_indices=True, **options)
    given = ops.convert_indices(indices, "minifcn", source, input_shape=(2, 3, 4, 6), **options)
    wanted = ops.convert_indices(given, source, target, input_shape=(2, 3, 4, 6), **options)
    got = ops.convert_indices(to_device(given, "cuda"), source, target, input_shape=(2, 3, 4, 6), **options)
    np.testing.assert_array_equal(got.get(), wanted)
    assert got.dtype == wanted.dtype


def test_several_numbers_come_in_one_copy(cupy):
    x = to_device(np.arange(6, dtype=np.float32), "cuda")
    before = len(cupy.stand_in.copies)
    assert numbers_of(x.sum(), 3, x.max() > 4, np.float32(0.5), x[1]) == [15.0, 3.0, 1.0, 0.5, 1.0]
    assert len(cupy.stand_in.copies) == before + 1
    assert numbers_of(np.float32(2), False) == [2.0, 0.0]
