"""The simple ops against PyTorch, values and gradients."""

import numpy as np
import pytest

from minifcn import ops

torch = pytest.importorskip("torch")
F = torch.nn.functional

SHAPE = (2, 3, 6, 7)


def compare(forward, backward, theirs, *shapes):
    """The same random arrays through both, the same random gradient back: equal to 1e-12."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape) for shape in shapes]
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    y, cache = forward(*arrays)
    expected = theirs(*tensors)
    pairs = [(y, expected.detach().numpy())]
    gy = rng.standard_normal(y.shape)
    expected.backward(torch.tensor(gy))
    gradients = backward(gy, cache)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    pairs += [(gradient, tensor.grad.numpy()) for gradient, tensor in zip(gradients, tensors, strict=True)]
    for actual, right in pairs:
        assert actual.shape == right.shape
        assert np.max(np.abs(actual - right)) <= 1e-12 * np.max(np.abs(right))


CASES = {
    "relu": (ops.relu, ops.relu_backward, F.relu, SHAPE),
    "leaky_relu": (lambda x: ops.leaky_relu(x, negative_slope=0.2), ops.leaky_relu_backward,
                   lambda x: F.leaky_relu(x, 0.2), SHAPE),
    "prelu": (ops.prelu, ops.prelu_backward, F.prelu, SHAPE, (3,)),
    "prelu, one slope": (ops.prelu, ops.prelu_backward, F.prelu, SHAPE, (1,)),
    "sigmoid": (ops.sigmoid, ops.sigmoid_backward, torch.sigmoid, SHAPE),
    "softmax": (ops.softmax, ops.softmax_backward, lambda x: F.softmax(x, 1), SHAPE),
    "softmax, last axis": (lambda x: ops.softmax(x, axis=-1), ops.softmax_backward, lambda x: F.softmax(x, -1), SHAPE),
    "linear": (ops.linear, ops.linear_backward, F.linear, (4, 5), (3, 5), (3,)),
    "flatten": (ops.flatten, ops.flatten_backward, lambda x: torch.flatten(x, 1), SHAPE),
    "concat": (ops.concat, ops.concat_backward, lambda *xs: torch.cat(xs, 1), SHAPE, (2, 1, 6, 7), SHAPE),
    "add": (ops.add, ops.add_backward, lambda *xs: sum(xs), SHAPE, SHAPE, SHAPE),
    "scale": (lambda x: ops.scale(x, factor=0.01), ops.scale_backward, lambda x: 0.01 * x, SHAPE),
    "crop": (lambda x: ops.crop(x, offset=(1, 2), size=(3, 4)), ops.crop_backward, lambda x: x[:, :, 1:4, 2:6], SHAPE),
    # PyTorch pads the last axis first: (left, right, top, bottom).
    "pad": (lambda x: ops.pad(x, padding=(1, 2, 3, 0), value=1.5), ops.pad_backward,
            lambda x: F.pad(x, (3, 0, 1, 2), value=1.5), SHAPE),
    "pad_channels": (lambda x: ops.pad_channels(x, out_channels=8), ops.pad_channels_backward,
                     lambda x: F.pad(x, (0, 0, 0, 0, 0, 5)), SHAPE),
    "reflect": (lambda x: ops.pad(x, padding=(1, 5, 6, 0), mode="reflect"), ops.pad_backward,
                lambda x: F.pad(x, (6, 0, 1, 5), mode="reflect"), SHAPE),
}


@pytest.mark.parametrize("name", CASES)
def test_simple_op(name):
    compare(*CASES[name])


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(12, 21), (3, 2), (6, 7), (1, 9), (11, 1), (37, 5)])
def test_resize(size, align_corners):
    compare(lambda x: ops.resize_bilinear(x, output_size=size, align_corners=align_corners),
            ops.resize_bilinear_backward,
            lambda x: F.interpolate(x, size, mode="bilinear", align_corners=align_corners), SHAPE)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "prelu"])
def test_the_slope_at_the_kink(name):
    """At exactly zero no difference quotient helps; the convention is PyTorch's."""
    x, weight = np.zeros((1, 2)), np.full(1, 0.3)
    arrays = (x, weight) if name == "prelu" else (x,)
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    getattr(F, name)(*tensors).sum().backward()
    gx = getattr(ops, f"{name}_backward")(np.ones((1, 2)), getattr(ops, name)(*arrays)[1])
    np.testing.assert_array_equal(gx[0] if name == "prelu" else gx, tensors[0].grad.numpy())
