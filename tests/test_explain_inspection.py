"""The table of `minifcn inspect`, against published numbers, counted products and gradients that say what is seen."""

from fractions import Fraction

import numpy as np
import pytest

from minifcn import Graph, init, models
from minifcn.explain import inspect
from minifcn.explain.costs import multiply_adds
from minifcn.explain.receptive_field import field_of, receptive_fields
from minifcn.kernels import reference
from minifcn.layers import (
    AdaptiveAvgPool2d,
    Add,
    AvgPool2d,
    Conv2d,
    ConvReLU,
    ConvTranspose2d,
    Crop,
    Linear,
    MaxPool2d,
    MaxUnpool2d,
    Pad,
    ReLU,
    ResizeBilinear,
)
from minifcn.shapes import shapes_of


def full_size(name, **options):
    with init.shapes_only():
        return models.build(name, **options)


def rows_of(name, size=(500, 500), **options):
    return {row.name: row for row in inspect(full_size(name, **options), size).rows}


# Published numbers.

@pytest.mark.parametrize(("name", "trainable", "frozen"), [
    ("fcn32s", 134_346_581, 1_806_336), ("fcn8s", 134_362_751, 127_008),
])
def test_parameters_as_published(name, trainable, frozen):
    table = inspect(full_size(name), (500, 500))
    assert (table.trainable, table.frozen) == (trainable, frozen)
    assert (sum(r.trainable for r in table.rows), sum(r.frozen for r in table.rows)) == (trainable, frozen)


@pytest.mark.parametrize("size", [(500, 500), (40, 333)])
@pytest.mark.parametrize(("name", "field"), [("fcn32s", 404), ("fcn8s", 404), ("fcn-alexnet", 355)])
def test_the_field_of_the_scores_as_published(size, name, field):
    """Table 1 of the paper, however large the image and however padded: so many pixels, every 32."""
    for padding in ("paper", "same"):
        row = rows_of(name, size, padding=padding)["score_fr"]
        assert row.receptive_field == (field, field)
        assert row.stride == (32, 32)


@pytest.mark.parametrize(("name", "field"), [("vgg16", 404), ("alexnet", 355), ("googlenet", 907),
                                             ("alexnet-torchvision", 355), ("googlenet-torchvision", 571)])
def test_the_field_of_classifiers_as_published(name, field):
    """The same, and GoogLeNet's 907, which its average pooling over 7x7 belongs to. Torchvision's has 3x3 for 5x5."""
    crop = models.MODELS[name].crops["paper"]
    *_, scores = inspect(full_size(name), (crop, crop)).rows
    assert scores.receptive_field == (field, field)


def test_fcn_googlenet_sees_less_than_its_classifier():
    """Without the average pooling, which looks at seven pixels 32 apart."""
    assert rows_of("fcn-googlenet")["score_fr"].receptive_field == (907 - 6 * 32, 907 - 6 * 32)


def test_a_pixel_of_the_scores_lies_where_the_coordinate_map_says():
    rows = rows_of("fcn8s", (375, 500))
    assert rows["score_fr"].offset == (Fraction(25, 2), Fraction(25, 2))  # -b/a of 1/32 and -25/64
    assert rows["pool3"].stride == (8, 8)
    assert rows["score"].offset == (0, 0)
    assert rows["score"].shape == (1, 21, 375, 500)


def test_on_the_way_up_the_strides_are_those_of_the_way_down():
    rows = rows_of("segnet", (360, 480))
    assert [rows[f"pool{n}"].stride[0] for n in (5, 4, 3, 2, 1)] == [32, 16, 8, 4, 2]
    assert [rows[f"upsample{n}"].stride[0] for n in (5, 4, 3, 2, 1)] == [16, 8, 4, 2, 1]
    for n in (5, 4, 3, 2):
        assert rows[f"upsample{n}"].offset == rows[f"pool{n - 1}"].offset
    assert rows["upsample1"].offset == (0, 0)


def test_nothing_is_computed():
    """The weights would take half a GiB, the activations of such an image 64 GiB."""
    table = inspect(full_size("fcn8s"), (5000, 5000))
    assert table.activation_bytes > 60 * 2**30
    assert table.flops > 2e13


# FLOPs, by counting the multiplications of the loops that define a layer.

class Counted:
    """A number that counts how often it is multiplied."""

    products = 0

    def __mul__(self, other):
        type(self).products += 1
        return 0.0

    __rmul__ = __mul__


def counted(shape):
    return np.full(shape, Counted(), object)


@pytest.fixture
def products():
    Counted.products = 0
    return lambda: Counted.products


@pytest.mark.parametrize("layer", [
    Conv2d(4, 6, (2, 3), (2, 3), ((1, 0), (2, 1)), (1, 2), groups=2), Conv2d(4, 3, 1, bias=False),
    ConvReLU(Conv2d(4, 2, 3)),
], ids=repr)
def test_multiply_adds_of_convolutions(layer, products):
    conv = getattr(layer, "conv", layer)
    top, bottom, left, right = conv.padding
    x = counted((2, 4, 5 + top + bottom, 7 + left + right))  # padding counts like pixels
    oh, ow = conv.forward(np.zeros((2, 4, 5, 7), np.float32)).shape[2:]
    reference.conv2d(x, np.ones(conv.weight.data.shape), None, oh, ow, *conv.stride, 0, 0, *conv.dilation, conv.groups)
    assert multiply_adds(layer, (2, 4, 5, 7)) == products() > 0


def test_multiply_adds_of_a_transposed_convolution(products):
    layer = ConvTranspose2d(4, 6, (2, 3), (2, 1), groups=2)
    oh, ow = layer.forward(np.zeros((2, 4, 3, 5), np.float32)).shape[2:]
    reference.conv2d_grad_input(counted((2, 4, 3, 5)), np.ones(layer.weight.data.shape), oh, ow, 2, 1, 0, 0, 1, 1, 2)
    assert multiply_adds(layer, (2, 4, 3, 5)) == products() > 0


def test_multiply_adds_of_rows_and_networks():
    assert multiply_adds(Linear(7, 5), (3, 7)) == 3 * 7 * 5
    assert multiply_adds(ReLU(), (3, 7)) == 0
    g = Graph()
    g.add("conv1", Conv2d(3, 2, 1), "data")
    g.add("conv2", Conv2d(2, 5, 2), "conv1")
    outer = Graph()
    outer.add("twice", g, "data")
    expected = 4 * 6 * 3 * 2 + 3 * 5 * 2 * 4 * 5
    assert multiply_adds(g, (1, 3, 4, 6)) == expected
    assert [row.flops for row in inspect(outer, (4, 6)).rows] == [2 * expected]


# Receptive fields, by the gradient of one pixel: all weights are positive, so whatever is seen gets a gradient.

def positive(net, rng):
    for parameter in net.parameters().values():
        parameter.data = rng.uniform(0.5, 1, parameter.data.shape)
    return net


def seen_from(net, x, value, pixel):
    """The rows and the columns of the input that one pixel of a value has a gradient for: two (first, last)."""
    net.outputs = (value,)
    y = net.forward(x, record=True)
    gy = np.zeros_like(y)
    gy[:, :, pixel[0], pixel[1]] = 1
    gx = np.abs(net.backward(gy)).sum(axis=(0, 1))
    return [(hit.min(), hit.max()) for hit in np.nonzero(gx)]


def windows():
    """A little of everything that slides, anisotropic and unpadded, so that no field is cut off in the middle."""
    g = Graph()
    g.add("conv1", Conv2d(1, 1, (3, 2), (2, 1), dilation=(1, 2)), "data")
    g.add("mean", AvgPool2d((2, 3), (1, 2)), "conv1")
    g.add("pad", Pad((2, 1, 3, 0)), "mean")
    g.add("conv2", Conv2d(1, 1, (2, 3), padding=((1, 0), (0, 2))), "pad")
    g.add("crop", Crop((1, 2), (6, 5)), "conv2")
    return g


def upsampled():
    """Two upsamplings in a row with a skip, as in FCN-8s."""
    g = Graph()
    g.add("conv1", Conv2d(1, 1, 3, padding=1), "data")
    g.add("mean1", AvgPool2d(2), "conv1")
    g.add("mean2", AvgPool2d(2), "mean1")
    g.add("up2", ConvTranspose2d(1, 1, (4, 3), 2), "mean2")
    g.add("cut", Crop((1, 1)), "up2", "mean1")
    g.add("sum", Add(), "cut", "mean1")
    g.add("up4", ConvTranspose2d(1, 1, 4, 2, 1), "sum")
    return g


def sized():
    """Layers that look at sizes."""
    g = Graph()
    g.add("grow", ResizeBilinear((31, 17)), "data")
    g.add("conv", Conv2d(1, 1, 3), "grow")
    g.add("shrink", ResizeBilinear((7, 9), align_corners=True), "conv")
    g.add("pool", AdaptiveAvgPool2d((3, 4)), "shrink")
    return g


@pytest.mark.parametrize(("make", "size", "least"), [
    (windows, (30, 40), 60), (upsampled, (36, 40), 150), (sized, (14, 11), 90),
])
def test_fields_against_gradients(make, size, least, rng):
    """The pixels of every value that see neither padding nor beyond the border: what they see, and no more."""
    net = positive(make(), rng)
    shapes, fields, checked = shapes_of(net, size), receptive_fields(net, size), 0
    x = rng.uniform(0.5, 1, shapes["data"])
    for node in list(net.nodes):
        axes = [field_of(net, shapes, node.name, axis) for axis in (0, 1)]
        widest = [0, 0]
        for pixel in middle_lines(*shapes[node.name][2:]):
            bounds = [{value: (first[pixel[axis]], last[pixel[axis]]) for value, (first, last) in axes[axis].items()}
                      for axis in (0, 1)]
            if all(first >= 0 and last < shapes[value][2 + axis]
                   for axis in (0, 1) for value, (first, last) in bounds[axis].items()):
                expected = [bounds[axis]["data"] for axis in (0, 1)]
                assert seen_from(net, x, node.name, pixel) == expected, (node.name, pixel)
                widest = [max(widest[axis], expected[axis][1] - expected[axis][0] + 1) for axis in (0, 1)]
                checked += 1
        assert fields[node.name] == {"data": tuple(widest)}
    assert checked > least


def middle_lines(h, w):
    """The pixels of the middle row and of the middle column."""
    return {(i, w // 2) for i in range(h)} | {(h // 2, j) for j in range(w)}


def test_a_published_network_against_its_gradient(rng):
    """In the middle of a large image one score sees 404 rows and columns, and one pixel beyond it does not."""
    net = positive(models.build("fcn32s", num_classes=1, width=1e-9, padding="same", dtype=np.float64), rng).eval()
    for number, node in enumerate(net.nodes):
        if isinstance(node.layer, MaxPool2d):  # a maximum tells only who won
            net.nodes[number] = node._replace(layer=AvgPool2d(2, ceil_mode=True))
    (first, last), columns = seen_from(net, rng.uniform(0.5, 1, (1, 3, 560, 40)), "score_fr", (8, 0))
    assert last - first + 1 == 404
    assert columns == (0, 39)


def test_unpooling_sees_what_was_pooled():
    g = Graph()
    g.add("conv", Conv2d(1, 1, 3), "data")
    g.add("pool", MaxPool2d(3, 2, return_indices=True), "conv")
    g.add("up", MaxUnpool2d(), "pool", "pool.record")
    fields = receptive_fields(g, (20, 22))
    assert fields["pool"] == {"data": (5, 5)}
    assert fields["up"] == {"data": (7, 7)}  # where two windows of three overlap: five pixels, and the filter's rim
    h = Graph(("data", "places"))
    h.add("up", MaxUnpool2d(), "data", "places")
    with pytest.raises(ValueError, match=r"'places' to be the record of a MaxPool2d .* from elsewhere\. Nothing"):
        receptive_fields(h, (4, 4))


def test_graphs_nest_and_inputs_are_kept_apart():
    inner = Graph(("a", "b"))
    inner.add("conv", Conv2d(1, 1, (3, 5), padding=(1, 2)), "a")
    inner.add("sum", Add(), "conv", "b")
    g = Graph(("left", "right"))
    g.add("first", Conv2d(1, 1, 3, padding=1), "left")
    g.add("inner", inner, "first", "right")
    g.add("only", Conv2d(1, 1, 1), "right")
    fields = receptive_fields(g, (9, 9))
    assert fields["inner"] == {"left": (5, 7), "right": (1, 1)}
    assert fields["only"] == {"right": (1, 1)}
    assert [row.input for row in inspect(g, (9, 9)).rows] == ["left", "left", "right"]


# The table.

def test_a_row(rng):
    g = Graph()
    g.add("conv", Conv2d(3, 4, (3, 5), stride=(2, 1), dtype=np.float64), "data")
    g.add("pool", MaxPool2d(2, return_indices=True), "conv")
    g.add("grow", ResizeBilinear(), "pool", "data")
    g["conv"].bias.lr_mult = 0
    conv, pool, grow = inspect(g, (11, 12), batch=2).rows
    assert (conv.kind, conv.shape, conv.trainable, conv.frozen) == ("Conv2d", (2, 4, 5, 8), 4 * 3 * 15, 4)
    assert conv.flops == 2 * (2 * 4 * 5 * 8) * (3 * 15)
    assert conv.activation_bytes == 2 * 4 * 5 * 8 * 8
    assert (conv.receptive_field, conv.stride, conv.offset) == ((3, 5), (2, 1), (1, 2))
    assert pool.activation_bytes == 2 * 4 * 2 * 4 * (8 + 4)  # values, and places as int32
    assert (pool.stride, pool.offset) == ((4, 2), (2, Fraction(5, 2)))
    assert (grow.stride, grow.offset) == (None, None)
    assert conv.as_dict()["offset"] == [1.0, 2.0]
    assert grow.as_dict()["stride"] is None


def test_shared_parameters_count_once():
    conv = Conv2d(3, 3, 1)
    g = Graph()
    g.add("once", conv, "data")
    g.add("again", conv, "once")
    table = inspect(g, (4, 4))
    assert [row.trainable for row in table.rows] == [12, 12]
    assert table.as_dict()["totals"] == {"trainable": 12, "frozen": 0, "flops": 2 * 2 * 16 * 9,
                                         "activation_bytes": 2 * 3 * 16 * 4}


def test_an_image_that_is_too_small():
    g = Graph()
    g.add("conv", Conv2d(3, 1, 7), "data")
    with pytest.raises(ValueError, match="layer 'conv': conv2d: expected an input of at least 7x7"):
        inspect(g, (6, 9))
