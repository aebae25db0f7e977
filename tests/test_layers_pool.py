"""The pooling layers: the record that travels from pool to unpool, and everything a layer adds to its op."""

from fractions import Fraction

import numpy as np
import pytest

import minifcn
from minifcn import Graph, ops
from minifcn.layers import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d, MaxUnpool2d, PoolRecord

LAYERS = {  # name: how to make it, its op and the op's options
    "max": (lambda: MaxPool2d((3, 2), (2, 3), (0, 1), (1, 2)), ops.max_pool2d,
            {"kernel_size": (3, 2), "stride": (2, 3), "padding": (0, 1), "dilation": (1, 2)}),
    "max, ceil": (lambda: MaxPool2d(3, 2, padding=((0, 1), (1, 0)), ceil_mode=True), ops.max_pool2d,
                  {"kernel_size": 3, "stride": 2, "padding": ((0, 1), (1, 0)), "ceil_mode": True}),
    "avg": (lambda: AvgPool2d((3, 2), (2, 3), (0, 1)), ops.avg_pool2d,
            {"kernel_size": (3, 2), "stride": (2, 3), "padding": (0, 1)}),
    "avg, ceil": (lambda: AvgPool2d((2, 3), 2, ((0, 1), (1, 0)), True, False), ops.avg_pool2d,
                  {"kernel_size": (2, 3), "stride": 2, "padding": ((0, 1), (1, 0)), "ceil_mode": True,
                   "count_include_pad": False}),
    "adaptive": (lambda: AdaptiveAvgPool2d((4, 3)), ops.adaptive_avg_pool2d, {"output_size": (4, 3)}),
}
SIZE = (9, 11)


@pytest.fixture(params=["reference", "array"], autouse=True)
def folder(request):
    with minifcn.use_kernels(request.param):
        yield request.param


def tie_free(rng, shape):
    return rng.permutation(int(np.prod(shape))).reshape(shape) / 10 - 1


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_its_op(name, rng):
    make, op, options = LAYERS[name]
    x = tie_free(rng, (2, 1, *SIZE))
    np.testing.assert_array_equal(make().forward(x), op(x, **options)[0])


@pytest.mark.parametrize("name", LAYERS)
def test_gradient_by_differences(name, rng):
    layer, x = LAYERS[name][0](), tie_free(rng, (2, 1, *SIZE))
    y = layer.forward(x)
    gy = rng.normal(size=y.shape)
    gx = layer.backward(gy)
    numerical, step = np.empty_like(x), 1e-3
    with minifcn.use_kernels("array"):
        for at in np.ndindex(x.shape):
            up, down = x.copy(), x.copy()
            up[at] += step
            down[at] -= step
            difference = layer.forward(up, record=False) - layer.forward(down, record=False)
            numerical[at] = (difference * gy).sum() / (2 * step)
    np.testing.assert_allclose(gx, numerical, rtol=1e-6, atol=1e-6 * np.abs(numerical).max())


@pytest.mark.parametrize("name", LAYERS)
def test_applied_twice_and_backed_out_in_reverse(name, rng):
    layer = LAYERS[name][0]()
    xs = [tie_free(rng, (1, 2, *SIZE)) for _ in range(2)]
    ys = [layer.forward(x) for x in xs]
    backwards = [layer.backward(np.ones_like(y)) for y in reversed(ys)][::-1]
    for x, y, gx in zip(xs, ys, backwards, strict=True):
        layer.forward(x)
        np.testing.assert_array_equal(layer.backward(np.ones_like(y)), gx)
    with pytest.raises(RuntimeError, match="expected a recorded forward"):
        layer.backward(ys[0])


@pytest.mark.parametrize("name", LAYERS)
def test_evaluation_records_nothing_and_needs_are_heeded(name, rng):
    layer, x = LAYERS[name][0](), tie_free(rng, (1, 2, *SIZE))
    y = layer.eval().forward(x)
    with pytest.raises(RuntimeError, match="expected a recorded forward"):
        layer.backward(y)
    layer.forward(x, record=True)
    assert layer.backward(y, needs=(False,)) is None
    assert layer.parameters() == {}


def test_stride_is_the_kernel_size_unless_given():
    assert MaxPool2d((2, 3)).stride == AvgPool2d((2, 3)).stride == (2, 3)
    assert MaxPool2d(3, 2).stride == AvgPool2d(3, 2).stride == (2, 2)


def test_they_say_what_they_are():
    assert repr(MaxPool2d(2, return_indices=True)) == "MaxPool2d(kernel_size=2, stride=2, return_indices=True)"
    assert repr(AvgPool2d(2, count_include_pad=False)) == "AvgPool2d(kernel_size=2, stride=2, count_include_pad=False)"
    assert repr(AdaptiveAvgPool2d(3)) == "AdaptiveAvgPool2d(output_size=3)"
    assert repr(MaxUnpool2d()) == "MaxUnpool2d()"


# The record.

def test_the_record_carries_places_and_size(rng):
    x = rng.normal(size=(2, 3, 7, 5))
    y, record = MaxPool2d(2, return_indices=True).forward(x)
    assert isinstance(record, PoolRecord)
    assert record.size == (7, 5)
    assert record.trusted
    assert record.indices.dtype == np.int32
    np.testing.assert_array_equal(np.take_along_axis(x.reshape(2, 3, -1), record.indices.reshape(2, 3, -1), 2),
                                  y.reshape(2, 3, -1))


def test_unpooling_by_record_returns_to_the_pooled_size(rng):
    x = rng.uniform(1, 2, (2, 3, 7, 5))
    pool, unpool = MaxPool2d(2, return_indices=True), MaxUnpool2d()
    y, record = pool.forward(x)
    z = unpool.forward(y, record)
    assert z.shape == x.shape
    np.testing.assert_array_equal(z[z != 0], x[z != 0])
    assert (z != 0).sum() == y.size
    np.testing.assert_array_equal(pool.forward(z)[0], y)


def test_the_places_have_no_gradient(rng):
    x, gz = rng.normal(size=(2, 3, 7, 5)), rng.normal(size=(2, 3, 7, 5))
    pool, unpool = MaxPool2d(2, return_indices=True), MaxUnpool2d()
    unpool(*pool(x))
    gy, grecord = unpool.backward(gz)
    assert grecord is None
    gx = pool.backward(gy, grecord)
    won = gx != 0
    np.testing.assert_array_equal(gx[won], gz[won])  # there and back again, through each window's winner
    assert won.sum() == gy.size
    unpool(*pool(x))
    assert unpool.backward(gz, needs=(False, False)) == (None, None)
    pool.backward(gy)  # the record's gradient may also be left out


def test_bare_indices_come_with_a_size():
    x, indices = np.ones((1, 1, 1, 1)), np.full((1, 1, 1, 1), 4)
    expected = [[[[0, 0, 0], [0, 1, 0]]]]
    np.testing.assert_array_equal(MaxUnpool2d((2, 3)).forward(x, indices), expected)
    np.testing.assert_array_equal(MaxUnpool2d().forward(x, indices, (2, 3)), expected)
    np.testing.assert_array_equal(MaxUnpool2d()(x, indices, output_size=(2, 3)), expected)
    np.testing.assert_array_equal(MaxUnpool2d((5, 5)).forward(x, indices, output_size=(2, 3)), expected)
    with pytest.raises(ValueError, match="MaxUnpool2d: expected a PoolRecord, or indices with output_size"):
        MaxUnpool2d().forward(x, indices)


def test_a_size_may_repeat_the_record_but_not_contradict_it():
    record = PoolRecord(np.full((1, 1, 1, 1), 4), (2, 3))
    assert MaxUnpool2d((2, 3)).forward(np.ones((1, 1, 1, 1)), record).shape == (1, 1, 2, 3)
    with pytest.raises(ValueError, match=r"expected the size that was pooled \(2, 3\), got output_size \(3, 3\)"):
        MaxUnpool2d().forward(np.ones((1, 1, 1, 1)), record, output_size=3)


def test_pool_and_unpool_in_a_graph(rng):
    """The record is a value of its own, named after the node that makes it."""
    net = Graph()
    net.add("pool1", MaxPool2d(2, return_indices=True), "data")
    net.add("pool2", MaxPool2d(2, return_indices=True), "pool1")
    net.add("upsample2", MaxUnpool2d(), "pool2", "pool2.record")
    net.add("upsample1", MaxUnpool2d(), "upsample2", "pool1.record")
    x, gz = rng.uniform(1, 2, (2, 3, 11, 7)), rng.normal(size=(2, 3, 11, 7))
    z = net.forward(x)
    assert z.shape == x.shape
    np.testing.assert_array_equal(net.backward(gz), np.where(z != 0, gz, 0))


# Where things lie.

@pytest.mark.parametrize("make", [
    lambda: MaxPool2d((2, 3), (2, 1), ((0, 1), (1, 0)), dilation=(1, 2)),
    lambda: AvgPool2d((2, 5), (2, 1), ((0, 1), (1, 0))),  # an average over 5 columns spans what 3 dilated taps span
])
def test_coordinate_map_is_the_centre_of_each_window(make):
    (row_scale, row_shift), (col_scale, col_shift) = make().coordinate_map()
    for p in range(3):  # rows 2p and 2p + 1 are centred on 2p + 1/2
        assert row_scale * (2 * p + Fraction(1, 2)) + row_shift == p
    for q in range(3):  # columns q - 1 to q + 3 are centred on q + 1
        assert col_scale * (q + 1) + col_shift == q


def test_adaptive_pooling_has_no_fixed_map():
    with pytest.raises(ValueError, match="expected windows that are the same for every input size"):
        AdaptiveAvgPool2d(2).coordinate_map()


@pytest.mark.parametrize(("make", "match"), [
    (lambda: MaxPool2d(0), "MaxPool2d: expected kernel_size of at least 1"),
    (lambda: MaxPool2d(2, stride=0), "MaxPool2d: expected stride of at least 1"),
    (lambda: MaxPool2d(2, padding=-1), "MaxPool2d: expected padding of at least 0"),
    (lambda: MaxPool2d(2, dilation=0), "MaxPool2d: expected dilation of at least 1"),
    (lambda: AvgPool2d(0), "AvgPool2d: expected kernel_size of at least 1"),
    (lambda: AvgPool2d(2, stride=(1, 0)), "AvgPool2d: expected stride of at least 1"),
    (lambda: AdaptiveAvgPool2d(0), "AdaptiveAvgPool2d: expected output_size of at least 1"),
    (lambda: MaxUnpool2d((0, 2)), "MaxUnpool2d: expected output_size of at least 1"),
])
def test_bad_options_are_named_when_the_layer_is_made(make, match):
    with pytest.raises(ValueError, match=match):
        make()
