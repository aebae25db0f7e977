"""The demonstration: the smallest case, what is not the same, what it costs, and three ways to every pixel."""

import numpy as np
import pytest

from minifcn.explain import stitching_basics, upsampling
from minifcn.explain.stitching import prepared, rarefied_scores, shift_and_stitch
from minifcn.explain.stitching_cost import flops, peak_bytes, peak_rss
from minifcn.explain.stitching_nets import STRIDES, narrow_net
from minifcn.explain.stitching_report import compare
from minifcn.graph import Graph
from minifcn.layers import Add, Conv2d, MaxPool2d, ReLU
from minifcn.rarefaction import rarefy, spread


def image(h, w, dtype=np.float64):
    return np.random.default_rng(2).standard_normal((1, 3, h, w)).astype(dtype)


# Number by number.

def test_the_smallest_case():
    case = stitching_basics.smallest_case()
    x = case.image
    for (y, left), coarse in zip(stitching_basics.SHIFTS, case.coarse, strict=True):
        expected = [[x[y + i : y + i + 2, left + j : left + j + 2].max() for j in (0, 2)] for i in (0, 2)]
        assert coarse.tolist() == expected
    everywhere = [[x[i : i + 2, j : j + 2].max() for j in range(4)] for i in range(4)]
    assert case.stitched.tolist() == case.pooled.tolist() == everywhere
    spaced = [[everywhere[i][j] + 2 * everywhere[i][j + 2] - everywhere[i + 2][j + 2] for j in (0, 1)] for i in (0, 1)]
    assert case.filtered.tolist() == case.spaced.tolist() == spaced
    assert case.kept.shape == (3, 3)
    assert (case.kept[:2, :2] != case.filtered).any()


def test_the_smallest_case_in_words():
    text = stitching_basics.tell(stitching_basics.smallest_case())
    assert "(the same)" in text
    assert "    3  1  4  1  5      9  6            6  5            9  9            9  9            9  6  6  5" in text


@pytest.mark.parametrize("stride", STRIDES[:3])
def test_short_cuts_give_something_else(stride):
    wrong = stitching_basics.what_is_not_the_same(narrow_net(stride, False, dtype=np.float64), image(41, 53))
    assert set(wrong) == {"strides removed, filters kept", "coarse scores upsampled"}
    assert min(wrong.values()) > 0.05


def test_without_strides_there_is_nothing_to_get_wrong():
    net = Graph()
    net.add("conv", Conv2d(3, 2, 3, rng=0, dtype=np.float64), "data")
    assert max(stitching_basics.what_is_not_the_same(net, image(7, 8)).values()) == 0


# The networks.

@pytest.mark.parametrize("stride", STRIDES)
def test_narrow_nets(stride):
    assert spread(narrow_net(stride, True)).spacing == (stride, stride)
    assert any(max(layer.padding) for layer in narrow_net(stride, True).layers()
               if isinstance(layer, Conv2d) and layer.in_channels != 3)
    assert not any(max(layer.padding) for layer in narrow_net(stride, False).layers()
                   if isinstance(layer, Conv2d) and layer.in_channels != 3)


def test_an_unknown_stride():
    with pytest.raises(ValueError, match="narrow_net: expected a stride among 2, 4, 8, 32, got 16"):
        narrow_net(16, True)


# The comparison.

@pytest.mark.parametrize("padded", [False, True])
def test_compare(padded):
    net = narrow_net(4, padded, dtype=np.float64)
    found = compare("four", net, image(33, 38))
    assert found.equal
    assert (found.stride, found.margin) == ((4, 4), (8, 8) if padded else (0, 0))
    assert (found.inside > 1e-4) is padded
    assert np.array_equal(found.dense, rarefied_scores(net, image(33, 38)))
    row = found.as_dict()
    assert (row["stride"], row["margin"], row["dtype"], row["size"]) == (4, 8 if padded else 0, "float64", [33, 38])
    assert row["max_relative_difference"] == found.outside <= 1e-12
    assert {"seconds_shifted", "seconds_rarefied", "gflop_shifted", "mebibytes_rarefied"} < set(row)


def test_a_broken_network_is_found_out(monkeypatch):
    """The comparison can fail: here the rarefied network's filters stay as they were."""
    monkeypatch.setattr("minifcn.explain.stitching.rarefy", lambda net: net)
    monkeypatch.setattr("minifcn.explain.stitching_report.rarefied_scores",
                        lambda net, x, *more: 1.001 * shift_and_stitch(net, x))
    found = compare("four", narrow_net(4, False, dtype=np.float64), image(33, 38))
    assert not found.equal
    assert found.outside == pytest.approx(0.001 / 1.001)


def test_rows_and_columns_apart():
    net = Graph()
    net.add("first", Conv2d(3, 2, 3, rng=0, dtype=np.float64), "data")
    net.add("padded", Conv2d(2, 2, 3, padding=(1, 2), rng=1, dtype=np.float64), "first")
    net.add("pool", MaxPool2d((2, 3)), "padded")
    row = compare("apart", net, image(20, 26)).as_dict()
    assert (row["stride"], row["margin"], row["equal"]) == ([2, 3], [2, 3], True)


def test_nothing_outside_the_margin():
    net = narrow_net(8, True, dtype=np.float64)
    with pytest.raises(ValueError, match=r"expected an image of at least 11x31, so that .* 16 rows and 16 .* got 5x31"):
        compare("eight", net, image(5, 31))
    assert compare("eight", net, image(11, 31)).equal


# The cost.

def counted(graph, x):
    """FLOPs of the convolutions of one forward, from what really comes out of each."""
    layers = {node.name: node.layer for node in graph.nodes}
    return sum(2 * y[0, 0].size * layers[name].weight.data.size for name, y in graph.walk(x)
               if isinstance(layers[name], Conv2d))


@pytest.mark.parametrize(("stride", "padded"), [(2, True), (4, False), (8, True)])
def test_flops_are_those_of_every_run(stride, padded):
    body, canvas, result = prepared(narrow_net(stride, padded, dtype=np.float64), image(29, 35))
    runs = sum(counted(body, canvas[:, :, y:, x:].copy()) for y in range(stride) for x in range(stride))
    assert flops(body, canvas.shape[2:], result) == (runs, counted(rarefy(body), canvas))


def test_peak_memory():
    """data and a: 1 + 4 planes; a and b; then a, b and their sum: 12 planes."""
    net = Graph()
    net.add("a", Conv2d(1, 4, 1, dtype=np.float64), "data")
    net.add("b", ReLU(), "a")
    net.add("sum", Add(), "a", "b")
    assert peak_bytes(net.eval(), np.ones((1, 1, 5, 5))) == 12 * 25 * 8
    assert peak_rss() is None or 0.01 < peak_rss() < 100


# Three ways to every pixel.

def test_side_by_side_in_short():
    ways = upsampling.side_by_side(steps=(4, 3), scenes=1)
    names = [upsampling.BILINEAR, upsampling.LEARNED, upsampling.STITCHED]
    assert list(ways.mean_iou) == list(ways.seconds) == list(ways.labels) == names
    assert all(0 < score < 1 for score in ways.mean_iou.values())
    assert all(label.shape == ways.truth.shape for label in ways.labels.values())
    again = upsampling.side_by_side(steps=(4, 3), scenes=1)
    assert again.mean_iou == ways.mean_iou


def test_dense_scores_lie_on_the_pixels_they_look_at():
    """A dot in the image comes out where it is: half a pixel off at most, for windows of even size have no centre."""
    net = Graph()
    conv = Conv2d(1, 1, 3, padding=1, bias=False, dtype=np.float64)
    conv.weight.data[...] = 1
    net.add("score", conv, net.add("pool", MaxPool2d(4, ceil_mode=True), "data"))
    x = np.zeros((1, 1, 41, 50))
    x[0, 0, 20, 30] = 1
    scores = upsampling.on_the_images_grid(net.eval(), rarefied_scores(net, x), (41, 50))
    assert scores.shape == x.shape
    rows, columns = np.nonzero(scores[0, 0])
    assert abs(rows.mean() - 20) <= 0.5
    assert abs(columns.mean() - 30) <= 0.5
