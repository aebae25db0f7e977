"""A prepared weight is used for what it was made for, and nowhere else.

What a folder really prepares is its own business, so one is made up here: the "form" is the weight, doubled beforehand,
which shows in the result.
"""

import sys

import numpy as np
import pytest

import minifcn
from minifcn import ops

OPTIONS = {"stride": (2, 1), "padding": (0, 1), "dilation": (1, 2), "groups": 2}


@pytest.fixture(params=["doubled", "winograd doubled"])
def kind(request, monkeypatch):
    """The folder `array` prepares weights of this kind."""
    array = sys.modules["minifcn.kernels.array"]

    def prepare(weight, *geometry):
        return request.param, (2 * weight, geometry)

    def convolved(name):
        def forward(x, data, kind, bias, o, kh, kw, *geometry):
            assert kind == request.param
            assert (*x.shape[2:], *geometry) == data[1]
            assert (o, kh, kw) == (data[0].shape[0], *data[0].shape[2:])
            return getattr(array, name)(x, data[0], bias, *geometry)

        return forward

    def transposed(x, data, kind, oh, ow, kh, kw, *geometry):
        assert (*x.shape[2:], oh, ow, *geometry) == data[1]
        return array.conv2d_grad_input(x, data[0], oh, ow, *geometry)

    for name, function in (("prepare_conv2d", prepare), ("prepare_conv_transpose2d", prepare),
                           ("conv2d_prepared", convolved("conv2d")),
                           ("conv2d_relu_prepared", convolved("conv2d_relu")),
                           ("conv_transpose2d_prepared", transposed)):
        monkeypatch.setattr(array, name, function)
    monkeypatch.delenv("MINIFCN_WINOGRAD", raising=False)
    with minifcn.use_kernels("array"):
        yield request.param


CASES = {
    "conv2d": (ops.conv2d, ops.prepare_conv2d, OPTIONS),
    "conv2d_relu": (ops.conv2d_relu, ops.prepare_conv2d, OPTIONS),
    "conv_transpose2d": (ops.conv_transpose2d, ops.prepare_conv_transpose2d, OPTIONS | {"output_padding": (1, 0)}),
    "to a size": (ops.conv_transpose2d, ops.prepare_conv_transpose2d, OPTIONS | {"output_size": (13, 9)}),
}


@pytest.fixture(params=CASES)
def case(request):
    """(op, prepare, x, weight, options)."""
    op, prepare, options = CASES[request.param]
    rng = np.random.default_rng(0)
    return op, prepare, rng.standard_normal((2, 4, 6, 7)), rng.standard_normal((4, 2, 3, 3)), options


def doubles(case, prepared, x=None, weight=None):
    """Whether the op with `prepared` computes with the form (True) or with the weight itself (False)."""
    op, _, own_x, own_weight, options = case
    x, weight = own_x if x is None else x, own_weight if weight is None else weight
    plain, _ = op(x, weight, **options)
    y, _ = op(x, weight, **options, prepared=prepared)
    twice = np.array_equal(y, 2 * plain)
    assert twice or np.array_equal(y, plain)
    return twice


def test_it_is_used_for_its_own_weight_size_and_folder(case, kind):
    _, prepare, x, weight, options = case
    prepared = prepare(weight, input_size=(6, 7), **options)
    assert prepared.kind == kind
    assert doubles(case, prepared)
    assert doubles(case, prepared, x=x[:1])  # any number of images
    assert not doubles(case, prepared, weight=weight.copy())
    with minifcn.use_kernels("reference"):
        assert not doubles(case, prepared)


@pytest.mark.parametrize("other", [
    {"input_size": (7, 6)}, {"stride": (2, 2)}, {"padding": (1, 0)}, {"dilation": (2, 1)}, {"groups": 1},
])
def test_one_made_for_another_geometry_is_ignored(case, kind, other):
    """So a kernel never meets data of a size that it does not expect."""
    _, prepare, _, weight, options = case
    options = {name: value for name, value in options.items() if name != "output_size"}
    assert not doubles(case, prepare(weight, **({"input_size": (6, 7)} | options | other)))


def test_winograd_is_not_carried_to_where_it_is_forbidden(case, kind, monkeypatch):
    _, prepare, _, weight, options = case
    prepared, usual = prepare(weight, input_size=(6, 7), **options), kind == "doubled"
    with minifcn.use_winograd(False):
        assert doubles(case, prepared) == usual
    monkeypatch.setenv("MINIFCN_WINOGRAD", "0")
    assert doubles(case, prepared) == usual
    with minifcn.use_winograd(True):
        assert doubles(case, prepared)


def test_another_folder_may_run_the_backward(case, kind):
    op, prepare, x, weight, options = case
    y, cache = op(x, weight, **options, prepared=prepare(weight, input_size=(6, 7), **options))
    backward = getattr(ops, f"{op.__name__}_backward")
    expected = backward(y, cache)
    with minifcn.use_kernels("reference"):
        for gradient, right in zip(backward(y, cache), expected, strict=True):
            assert gradient is right is None or np.allclose(gradient, right, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("prepare", "given", "error", "message"), [
    (ops.prepare_conv2d, {"input_size": (2, 9)}, ValueError, "^prepare_conv2d: expected an input of at least 3x3"),
    (ops.prepare_conv2d, {"input_size": (0, 9)}, ValueError, "^prepare_conv2d: expected input_size of at least 1"),
    (ops.prepare_conv_transpose2d, {"input_size": (5, 6), "stride": 2, "output_size": (9, 9)}, ValueError,
     r"^prepare_conv_transpose2d: expected output_size with a height in 11\.\.12 and a width in 13\.\.14"),
])
def test_sizes_that_do_not_fit(prepare, given, error, message):
    with pytest.raises(error, match=message):
        prepare(np.zeros((4, 2, 3, 3)), **given)
