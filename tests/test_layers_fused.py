"""The fused layers: stand-ins that compute at once what two layers compute, with everything borrowed from the first."""

import numpy as np
import pytest

import minifcn
from minifcn import Graph
from minifcn.layers import BatchNorm2d, BatchNormReLU, Conv2d, ConvReLU, ReLU


@pytest.fixture(params=["reference", "array"], autouse=True)
def folder(request):
    with minifcn.use_kernels(request.param):
        yield request.param


def conv(**options):
    return Conv2d(2, 3, (3, 2), (2, 1), (0, 1), dtype=np.float64, rng=1, **options)


def norm():
    layer = BatchNorm2d(2, dtype=np.float64)
    rng = np.random.default_rng(2)
    layer.weight.data, layer.bias.data = rng.normal(size=2), rng.normal(size=2)
    layer.running_mean[...], layer.running_var[...] = rng.normal(size=2), rng.uniform(1, 2, 2)
    return layer


PAIRS = [(ConvReLU, conv), (BatchNormReLU, norm)]


@pytest.mark.parametrize("way", ["backward", "back_out"])
@pytest.mark.parametrize(("fused", "make"), PAIRS)
def test_same_bits_as_the_two_layers_one_after_the_other(rng, fused, make, way):
    for training in (True, False):
        one, two, relu = fused(make()).train(training), make().train(training), ReLU()
        x = rng.normal(size=(2, 2, 7, 6))
        y = one.forward(x, record=True)
        np.testing.assert_array_equal(y, relu.forward(two.forward(x, record=True)))
        gy = rng.normal(size=y.shape)
        gx = one.backward(gy) if way == "backward" else one.back_out([gy], None)
        np.testing.assert_array_equal(gx, two.backward(relu.backward(gy)))
        for mine, other in zip(one.parameters().values(), two.parameters().values(), strict=True):
            np.testing.assert_array_equal(mine.grad, other.grad)
        for name, array in one.buffers().items():
            np.testing.assert_array_equal(array, two.buffers()[name])


@pytest.mark.parametrize("way", ["backward", "back_out"])
@pytest.mark.parametrize(("fused", "make"), PAIRS)
def test_what_is_not_needed_is_not_computed(rng, fused, make, way):
    layer = fused(make())
    layer.parameters()["weight"].lr_mult = 0.0
    y = layer.forward(rng.normal(size=(2, 2, 7, 6)))
    gx = layer.backward(y, needs=(False,)) if way == "backward" else layer.back_out([y], (False,))
    assert gx is None
    assert layer.parameters()["weight"].grad is None
    assert layer.parameters()["bias"].grad is not None
    with pytest.raises(RuntimeError, match=rf"{fused.__name__}.backward: expected a recorded forward .* got none"):
        layer.back_out([y], None)


def test_a_gradient_of_another_shape_is_refused(rng):
    layer = ConvReLU(conv())
    layer.forward(rng.normal(size=(2, 2, 7, 6)))
    with pytest.raises(ValueError, match=r"^conv2d_relu_backward: expected gy of the forward output's shape"):
        layer.back_out([rng.normal(size=(2, 3, 3, 6))], None)


@pytest.mark.parametrize(("fused", "make"), PAIRS)
def test_everything_belongs_to_the_layer_inside(fused, make):
    inside = make().eval()
    layer = fused(inside)
    assert not layer.training  # standing in changes nothing
    assert layer.train() is layer
    assert inside.training
    inside.eval()
    assert not layer.training
    assert list(layer.parameters()) == ["weight", "bias"]
    assert all(p is inside.parameters()[name] for name, p in layer.parameters().items())
    assert all(array is inside.buffers()[name] for name, array in layer.buffers().items())
    assert layer.coordinate_map() == inside.coordinate_map()
    assert repr(layer) == f"{fused.__name__}({'conv' if fused is ConvReLU else 'norm'}={inside!r})"


@pytest.mark.parametrize(("fused", "make"), PAIRS)
def test_conversion_reaches_the_layer_inside(rng, fused, make):
    inside, g = make(), Graph()
    g.add("both", fused(inside), "data")
    g.to(dtype=np.float32)
    assert {array.dtype for array in g.state().values()} == {np.dtype(np.float32)}
    assert all(array is inside.buffers()[name.split(".")[1]] for name, array in g.buffers().items())
    assert g.forward(rng.normal(size=(1, 2, 7, 6)).astype(np.float32)).dtype == np.float32
