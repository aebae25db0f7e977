"""The public signatures that tutorials, tests and other people's code rely on: names, order and defaults."""

import inspect

import numpy as np
import pytest

import minifcn
from minifcn import init, layers, models, ops
from minifcn.kernels import array, reference

ANY = inspect.Parameter.empty  # an option without a default

OPS = {
    "conv2d": (("x", "weight", "bias"), {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "prepared": None}),
    "conv2d_relu": (("x", "weight", "bias"), {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "prepared": None}),
    "conv_transpose2d": (("x", "weight", "bias"), {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1,
                                                   "dilation": 1, "output_size": None, "prepared": None}),
    "max_pool2d": (("x",), {"kernel_size": ANY, "stride": None, "padding": 0, "dilation": 1, "ceil_mode": False,
                            "return_indices": False}),
    "max_unpool2d": (("x", "indices"), {"output_size": ANY, "trusted": False}),
    "avg_pool2d": (("x",), {"kernel_size": ANY, "stride": None, "padding": 0, "ceil_mode": False,
                            "count_include_pad": True}),
    "adaptive_avg_pool2d": (("x",), {"output_size": ANY}),
    "resize_bilinear": (("x",), {"output_size": ANY, "align_corners": False}),
    "crop": (("x",), {"offset": ANY, "size": ANY}),
    "pad": (("x",), {"padding": ANY, "mode": "constant", "value": 0}),
    "pad_channels": (("x",), {"out_channels": ANY}),
    "relu": (("x",), {}),
    "leaky_relu": (("x",), {"negative_slope": 0.01}),
    "sigmoid": (("x",), {}),
    "softmax": (("x",), {"axis": 1}),
    "prelu": (("x", "weight"), {}),
    "batch_norm": (("x", "weight", "bias"), {"running_mean": ANY, "running_var": ANY, "training": ANY, "momentum": 0.1,
                                             "eps": 1e-5}),
    "batch_norm_relu": (("x", "weight", "bias"), {"running_mean": ANY, "running_var": ANY, "training": ANY,
                                                  "momentum": 0.1, "eps": 1e-5}),
    "local_response_norm": (("x",), {"size": ANY, "alpha": 1e-4, "beta": 0.75, "k": 1.0}),
    "dropout": (("x",), {"p": ANY, "rng": ANY, "training": ANY}),
    "spatial_dropout": (("x",), {"p": ANY, "rng": ANY, "training": ANY}),
    "concat": (("xs",), {"axis": 1}),
    "add": (("xs",), {}),
    "scale": (("x",), {"factor": ANY}),
    "flatten": (("x",), {}),
    "linear": (("x", "weight", "bias"), {}),
    "softmax_cross_entropy": (("x", "target"), {"weight": None, "pixel_weight": None, "ignore_index": 255,
                                                "reduction": "mean"}),
}

LAYERS = [
    "Conv2d", "ConvTranspose2d", "MaxPool2d", "MaxUnpool2d", "AvgPool2d", "AdaptiveAvgPool2d", "ResizeBilinear", "Crop",
    "Pad", "PadChannels", "ReLU", "LeakyReLU", "PReLU", "Sigmoid", "Softmax", "BatchNorm2d", "LocalResponseNorm",
    "Dropout", "SpatialDropout", "Concat", "Add", "Scale", "Flatten", "Linear", "SoftmaxCrossEntropy", "ConvReLU",
    "BatchNormReLU",
]

KERNELS = {
    "conv2d": "x weight bias oh ow sh sw ph pw dh dw groups",
    "conv2d_relu": "x weight bias oh ow sh sw ph pw dh dw groups",
    "conv2d_prepared": "x data kind bias o kh kw oh ow sh sw ph pw dh dw groups",
    "conv2d_relu_prepared": "x data kind bias o kh kw oh ow sh sw ph pw dh dw groups",
    "conv2d_grad_input": "gy weight h w sh sw ph pw dh dw groups",
    "conv2d_grad_weight": "gy x kh kw sh sw ph pw dh dw groups",
    "channel_sums": "gy",
    "max_pool2d": "x oh ow kh kw sh sw ph pw dh dw",
    "max_pool2d_grad": "gy indices h w kh kw sh sw ph pw dh dw",
    "scatter": "gy indices h w",
    "dropout": "x key p together",
    "gather": "x indices",
    "softmax_cross_entropy": "x target weight pixel_weight ignore_index",
    "softmax_cross_entropy_grad": "x target weight pixel_weight log_sum_exp ignore_index scale",
}


@pytest.mark.parametrize("name", OPS)
def test_op(name):
    arrays, options = OPS[name]
    parameters = inspect.signature(getattr(ops, name)).parameters.values()
    keyword_only = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY) == arrays
    assert keyword_only == options
    backward = inspect.signature(getattr(ops, f"{name}_backward")).parameters
    assert list(backward) == ["gy", "cache", "needs"]
    assert backward["needs"].kind is inspect.Parameter.KEYWORD_ONLY
    assert backward["needs"].default is None


def test_no_op_is_left_out():
    forward = {name.removesuffix("_backward") for name in ops.__all__ if name.endswith("_backward")}
    assert forward == set(OPS)


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name):
    assert issubclass(getattr(layers, name), layers.Layer)


@pytest.mark.parametrize("folder", [reference, array], ids=["reference", "array"])
@pytest.mark.parametrize("name", KERNELS)
def test_kernel(folder, name):
    assert list(inspect.signature(getattr(folder, name)).parameters) == KERNELS[name].split()


@pytest.mark.parametrize(("prepare", "op"), [(ops.prepare_conv2d, ops.conv2d),
                                             (ops.prepare_conv2d, ops.conv2d_relu),
                                             (ops.prepare_conv_transpose2d, ops.conv_transpose2d)])
def test_a_prepared_weight_changes_nothing(prepare, op):
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((1, 4, 5, 6)), rng.standard_normal((4, 4, 3, 3))
    prepared = prepare(weight, input_size=(5, 6), stride=2, padding=1)
    expected, _ = op(x, weight, stride=2, padding=1)
    found, _ = op(x, weight, stride=2, padding=1, prepared=prepared)
    assert np.array_equal(found, expected)


def test_a_graph_by_hand():
    g = minifcn.Graph()
    g.add("conv1", layers.Conv2d(3, 8, 3, rng=0), "data")
    g.add("relu1", layers.ReLU(), "conv1")
    g.outputs = ("relu1",)
    y = g.forward(np.ones((1, 3, 5, 6), np.float32))
    assert y.shape == (1, 8, 3, 4)
    assert g.backward(np.ones_like(y)).shape == (1, 3, 5, 6)
    assert list(g.parameters()) == ["conv1.weight", "conv1.bias"]
    g.train(), g.eval(), g.freeze(), g.unfreeze(), g.discard()
    g.load(g.state())
    assert list(minifcn.fuse(g).state()) == list(g.state())
    assert minifcn.Graph(inputs=("image", "depth")).inputs == ("image", "depth")


def test_a_model_through_a_file(tmp_path):
    net = models.build("fcn8s", num_classes=5, width=1 / 64, padding="same", rng=0)
    assert net.training
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    minifcn.save(tmp_path / "net.safetensors", net, note="kept")
    loaded, meta = minifcn.load(tmp_path / "net.safetensors")
    assert not loaded.training
    assert meta["note"] == "kept"
    labels = minifcn.predict(net, image)
    assert net.training
    assert labels.shape == (40, 50)
    assert labels.dtype == np.uint8
    assert np.array_equal(minifcn.predict(tmp_path / "net.safetensors", image), labels)


def test_published_parameter_counts():
    for name, trainable, frozen in (("fcn32s", 134_346_581, 1_806_336), ("fcn8s", 134_362_751, 127_008)):
        with init.shapes_only():
            counts = models.count_parameters(models.build(name, num_classes=21, width=1.0))
        assert counts == {"trainable": trainable, "frozen": frozen}
