"""Pooling against PyTorch, and its indices against ONNX: random configurations with a fixed seed."""

import numpy as np
import pytest

import minifcn
from minifcn import ops

CONFIGURATIONS = 60


@pytest.fixture(params=["reference", "array"])
def folder(request):
    with minifcn.use_kernels(request.param):
        yield request.param


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def draw(rng, largest_dilation):
    """An input size and legal symmetric options, anisotropic as a rule, small enough for plain loops."""
    while True:
        kernel, dilation = rng.integers(1, 5, 2), rng.integers(1, largest_dilation + 1, 2)
        extent, size = dilation * (kernel - 1) + 1, rng.integers(1, 13, 2)
        padding = rng.integers(0, kernel // 2 + 1)  # PyTorch's limit is half of the kernel without its dilation
        fits = (size + 2 * padding >= extent).all() and ((size >= dilation) | (padding == 0)).all()
        if fits:
            ints = [tuple(int(v) for v in both) for both in (size, kernel, rng.integers(1, 5, 2), padding, dilation)]
            return ints[0], dict(zip(("kernel_size", "stride", "padding", "dilation"), ints[1:], strict=True))


def backward_of(torch, y, x, gy):
    y.backward(torch.from_numpy(gy))
    return x.grad.numpy()


def test_max_pool(torch, folder, rng):
    clipped = 0
    for _ in range(CONFIGURATIONS):
        size, options = draw(rng, largest_dilation=3)
        options["ceil_mode"] = bool(rng.integers(2))
        x = rng.integers(-5, 6, (2, 2, *size)).astype(np.float64)  # with ties
        (y, indices), cache = ops.max_pool2d(x, **options, return_indices=True)
        peer_x = torch.from_numpy(x).requires_grad_()
        peer_y, peer_indices = torch.nn.functional.max_pool2d(peer_x, **options, return_indices=True)
        np.testing.assert_array_equal(y, peer_y.detach().numpy(), err_msg=str((size, options)))
        np.testing.assert_array_equal(indices, peer_indices.numpy(), err_msg=str((size, options)))
        gy = rng.normal(size=y.shape)
        np.testing.assert_allclose(ops.max_pool2d_backward(gy, cache), backward_of(torch, peer_y, peer_x, gy),
                                   rtol=1e-12, atol=1e-14, err_msg=str((size, options)))
        clipped += y.shape != ops.max_pool2d(x, **options | {"ceil_mode": False})[0].shape
    assert clipped > 3  # ceil_mode made a difference now and then


def test_max_pool_propagates_nan(torch, folder, rng):
    x = rng.normal(size=(2, 2, 9, 8)).astype(np.float32)
    x[:, :, 4, 5] = np.nan  # one in a window: of several, PyTorch reports the last and minifcn the first
    options = {"kernel_size": (3, 2), "stride": 2, "padding": 1, "ceil_mode": True}
    (y, indices), _ = ops.max_pool2d(x, **options, return_indices=True)
    peer_y, peer_indices = torch.nn.functional.max_pool2d(torch.from_numpy(x), **options, return_indices=True)
    assert np.isnan(y).any()
    np.testing.assert_array_equal(y, peer_y.numpy())
    np.testing.assert_array_equal(indices, peer_indices.numpy())


def test_max_unpool(torch, folder, rng):
    x = rng.normal(size=(2, 3, 9, 7))
    (y, indices), _ = ops.max_pool2d(x, kernel_size=2, return_indices=True)
    z, cache = ops.max_unpool2d(y, indices, output_size=(9, 7))
    peer_y = torch.from_numpy(y).requires_grad_()
    peer_indices = torch.from_numpy(ops.convert_indices(indices, "minifcn", "pytorch", input_shape=x.shape))
    peer_z = torch.nn.functional.max_unpool2d(peer_y, peer_indices, 2, output_size=(9, 7))
    np.testing.assert_array_equal(z, peer_z.detach().numpy())
    gz = rng.normal(size=z.shape)
    np.testing.assert_array_equal(ops.max_unpool2d_backward(gz, cache), backward_of(torch, peer_z, peer_y, gz))


def test_avg_pool(torch, folder, rng):
    for _ in range(CONFIGURATIONS):
        size, options = draw(rng, largest_dilation=1)
        del options["dilation"]
        options |= {"ceil_mode": bool(rng.integers(2)), "count_include_pad": bool(rng.integers(2))}
        x = rng.normal(size=(2, 2, *size))
        y, cache = ops.avg_pool2d(x, **options)
        peer_x = torch.from_numpy(x).requires_grad_()
        peer_y = torch.nn.functional.avg_pool2d(peer_x, **options)
        np.testing.assert_allclose(y, peer_y.detach().numpy(), rtol=1e-12, atol=1e-14, err_msg=str((size, options)))
        gy = rng.normal(size=y.shape)
        np.testing.assert_allclose(ops.avg_pool2d_backward(gy, cache), backward_of(torch, peer_y, peer_x, gy),
                                   rtol=1e-12, atol=1e-14, err_msg=str((size, options)))


def test_adaptive_avg_pool(torch, folder, rng):
    for _ in range(CONFIGURATIONS):
        size, output_size = (tuple(int(v) for v in rng.integers(1, 12, 2)) for _ in range(2))
        x = rng.normal(size=(2, 2, *size))
        y, cache = ops.adaptive_avg_pool2d(x, output_size=output_size)
        peer_x = torch.from_numpy(x).requires_grad_()
        peer_y = torch.nn.functional.adaptive_avg_pool2d(peer_x, output_size)
        np.testing.assert_allclose(y, peer_y.detach().numpy(), rtol=1e-12, atol=1e-14)
        gy = rng.normal(size=y.shape)
        np.testing.assert_allclose(ops.adaptive_avg_pool2d_backward(gy, cache), backward_of(torch, peer_y, peer_x, gy),
                                   rtol=1e-12, atol=1e-14)


# ONNX, whose indices run through the whole batch.

def onnx_sides(pads):
    """ONNX lists all the beginnings, then all the ends."""
    top, left, bottom, right = pads
    return (top, bottom), (left, right)


def test_onnx_runtime_indices(folder, rng):
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    for _ in range(CONFIGURATIONS // 3):
        size, options = draw(rng, largest_dilation=2)
        x = rng.permutation(2 * 3 * size[0] * size[1]).reshape(2, 3, *size).astype(np.float32)
        node = onnx.helper.make_node(
            "MaxPool", ["x"], ["y", "indices"], kernel_shape=options["kernel_size"], strides=options["stride"],
            pads=options["padding"] * 2, dilations=options["dilation"],
        )
        values = [onnx.helper.make_tensor_value_info(*value) for value in (
            ("x", onnx.TensorProto.FLOAT, x.shape), ("y", onnx.TensorProto.FLOAT, None),
            ("indices", onnx.TensorProto.INT64, None))]
        graph = onnx.helper.make_graph([node], "pool", values[:1], values[1:])
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
        session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        peer_y, peer_indices = session.run(None, {"x": x})
        (y, indices), _ = ops.max_pool2d(x, **options, return_indices=True)
        np.testing.assert_array_equal(y, peer_y, err_msg=str((size, options)))
        there = ops.convert_indices(indices, "minifcn", "onnx", input_shape=x.shape)
        back = ops.convert_indices(peer_indices, "onnx", "minifcn", input_shape=x.shape)
        np.testing.assert_array_equal(there, peer_indices)
        np.testing.assert_array_equal(back, indices)


@pytest.fixture
def onnx_cases():
    """The examples of the ONNX standard: {name: (attributes, inputs, outputs)}."""
    cases = pytest.importorskip("onnx.backend.test.case.node")
    for module in ("maxpool", "maxunpool", "averagepool"):  # importing one computes its examples
        pytest.importorskip(f"onnx.backend.test.case.node.{module}")
    from onnx.helper import get_attribute_value
    return {
        case.name: ({a.name: get_attribute_value(a) for a in case.model.graph.node[0].attribute}, *case.data_sets[0])
        for case in cases._NodeTestCases
    }


@pytest.mark.parametrize("name", [
    "maxpool_2d_ceil", "maxpool_2d_ceil_output_size_reduce_by_one", "maxpool_2d_default", "maxpool_2d_dilations",
    "maxpool_2d_precomputed_pads", "maxpool_2d_precomputed_strides", "maxpool_2d_strides",
    "maxpool_with_argmax_2d_precomputed_pads",
    "averagepool_2d_ceil", "averagepool_2d_ceil_last_window_starts_on_pad", "averagepool_2d_default",
    "averagepool_2d_precomputed_pads", "averagepool_2d_precomputed_pads_count_include_pad",
    "averagepool_2d_precomputed_strides", "averagepool_2d_strides",
])
def test_onnx_pooling_examples(name, folder, onnx_cases):
    attributes, (x,), outputs = onnx_cases[f"test_{name}"]
    options = {
        "kernel_size": tuple(attributes["kernel_shape"]), "stride": tuple(attributes.get("strides", (1, 1))),
        "padding": onnx_sides(attributes.get("pads", (0, 0, 0, 0))), "ceil_mode": bool(attributes.get("ceil_mode")),
    }
    if name.startswith("average"):
        y, _ = ops.avg_pool2d(x, **options, count_include_pad=bool(attributes.get("count_include_pad")))
    else:
        options["dilation"] = tuple(attributes.get("dilations", (1, 1)))
        (y, indices), _ = ops.max_pool2d(x, **options, return_indices=True)
        indices = ops.convert_indices(indices, "minifcn", "onnx", input_shape=x.shape)
        for expected in outputs[1:]:
            np.testing.assert_array_equal(indices, expected)
    printed_with_4_decimals = name == "averagepool_2d_ceil_last_window_starts_on_pad"
    np.testing.assert_allclose(y, outputs[0], rtol=0, atol=6e-5 if printed_with_4_decimals else 1e-6 * y.max())


@pytest.mark.parametrize("name", ["with_output_shape", "without_output_shape"])
def test_onnx_unpooling_examples(name, folder, onnx_cases):
    _, (x, indices, *_), (expected,) = onnx_cases[f"test_maxunpool_export_{name}"]
    ours = ops.convert_indices(indices, "onnx", "minifcn", input_shape=(1, 1, 4, 4))  # 2x2 windows of stride 2 saw 4x4
    y, _ = ops.max_unpool2d(x, ours, output_size=(4, 4))
    # A larger output_shape does not move the pixels in ONNX: rows and columns of zeros are added at the end.
    missing = [(0, expected.shape[axis] - y.shape[axis]) for axis in range(4)]
    np.testing.assert_array_equal(np.pad(y, missing), expected)
