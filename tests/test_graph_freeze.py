"""A frozen Graph: read-only weights, and what is prepared from them made once, dropped in time, never stale.

What a folder really prepares is its own business, so `array` gets a made-up form here: a copy of the weight. A form
that outlived its weight would show in the result.
"""

import numpy as np
import pytest

import minifcn
from minifcn import Graph, optim
from minifcn.kernels import array
from minifcn.layers import Conv2d, ConvTranspose2d, ReLU
from minifcn.layers._prepared import SIZES


@pytest.fixture(autouse=True)
def made(monkeypatch):
    """The list of all (pass, h, w) that were prepared for."""
    calls = []

    def prepare(name):
        def copy_of(weight, h, w, *geometry):
            calls.append((name, h, w))
            return "copied", weight.copy()

        return copy_of

    def convolved(name):
        return lambda x, data, kind, bias, o, kh, kw, *rest: getattr(array, name)(x, data, bias, *rest)

    for name, function in (("prepare_conv2d", prepare("conv")), ("prepare_conv_transpose2d", prepare("up")),
                           ("conv2d_prepared", convolved("conv2d")),
                           ("conv2d_relu_prepared", convolved("conv2d_relu")),
                           ("conv_transpose2d_prepared", lambda x, data, kind, oh, ow, kh, kw, *rest:
                            array.conv2d_grad_input(x, data, oh, ow, *rest))):
        monkeypatch.setattr(array, name, function)
    with minifcn.use_kernels("array"):
        yield calls


def network():
    """conv1 and a ReLU, which may be fused, then a nested Graph with a transposed convolution."""
    inner = Graph()
    inner.add("conv2", Conv2d(3, 2, (1, 3), stride=(2, 1), groups=1, rng=2, dtype=np.float64), "data")
    inner.add("up", ConvTranspose2d(2, 2, 4, stride=2, output_padding=(1, 0), rng=3, dtype=np.float64), "conv2")
    g = Graph()
    g.add("conv1", Conv2d(2, 3, 3, padding=1, rng=1, dtype=np.float64), "data")
    g.add("relu1", ReLU(), "conv1")
    g.add("inner", inner, "relu1")
    return g.eval()


@pytest.fixture(params=["plain", "fused"])
def pair(request):
    """(the network, the Graph that runs it)."""
    g = network()
    return g, g if request.param == "plain" else minifcn.fuse(g)


@pytest.fixture
def x(rng):
    return rng.normal(size=(2, 2, 6, 7))


def test_prepared_once_a_size_at_the_first_forward(pair, x, made):
    _, g = pair
    expected = g.forward(x)
    assert not made  # only frozen weights are
    assert g.freeze() is g
    assert not made
    np.testing.assert_array_equal(g.forward(x), expected)
    assert made == [("conv", 6, 7), ("conv", 6, 7), ("up", 3, 5)]
    np.testing.assert_array_equal(g.forward(x), expected)
    g.forward(x[:1])
    g.freeze()  # twice is once
    g.forward(x)
    assert len(made) == 3
    g.forward(x[..., :5])
    assert len(made) == 6


def test_the_forms_of_the_last_sizes_are_kept(pair, x, made):
    g, runner = pair
    runner.freeze()
    sizes = [(6, width) for width in range(3, 4 + SIZES)]  # one more than are kept
    for _, width in sizes:
        runner.forward(x[..., :width])
    assert all(len(p.prepared) <= SIZES for p in g.parameters().values())
    assert len(g["conv1"].weight.prepared) == SIZES
    made.clear()
    for _, width in sizes[1:]:
        runner.forward(x[..., :width])
    assert not made
    runner.forward(x[..., : sizes[1][1]])  # used again: now the newest
    runner.forward(x[..., :3])
    assert made[0] == ("conv", 6, 3)
    made.clear()
    runner.forward(x[..., : sizes[1][1]])
    assert not made
    runner.forward(x[..., : sizes[2][1]])
    assert made


@pytest.mark.parametrize("who", ["the network", "its runner"])
def test_a_changed_weight_is_seen(pair, x, who):
    g, runner = pair
    runner.freeze()
    before = runner.forward(x)
    (g if who == "the network" else runner).unfreeze()
    for name in ("conv1.weight", "inner.up.weight"):
        g.parameters()[name].data *= 2
    runner.freeze()
    after = runner.forward(x)
    assert (after != before).any()
    np.testing.assert_array_equal(after, g.unfreeze().forward(x))


def test_a_weight_that_was_put_in_the_place_of_another_is_seen(pair, x, made):
    g, runner = pair
    runner.freeze()
    before = runner.forward(x)
    g["conv1"].weight.data = 2 * g["conv1"].weight.data  # a new array, not read-only
    runner.forward(x)
    g["conv1"].weight.data *= 2  # allowed, so nothing may have been prepared from it
    writeable = runner.forward(x)
    assert len(made) == 3
    g["conv1"].weight.data.flags.writeable = False
    read_only = runner.forward(x)
    assert (writeable != before).any()
    assert len(made) == 4
    np.testing.assert_array_equal(read_only, writeable)
    unfrozen = g.unfreeze().forward(x)
    np.testing.assert_array_equal(unfrozen, read_only)


def test_two_networks_that_share_a_weight(x):
    """Whoever unfreezes it drops the forms of both."""
    one, other = network(), network()
    other["conv1"].weight = one["conv1"].weight
    for g in (one, other):
        g.freeze().forward(x)
    one.unfreeze()
    one["conv1"].weight.data *= 2
    one.freeze()
    expected = network()
    expected["conv1"].weight.data[...] = one["conv1"].weight.data
    np.testing.assert_array_equal(other.forward(x), expected.forward(x))


def test_another_folder_ignores_what_was_prepared(pair, x, made):
    g, runner = pair
    expected = runner.forward(x)
    runner.freeze().forward(x)
    calls = len(made)
    (own,) = g["conv1"].weight.prepared.values()
    with minifcn.use_kernels("reference"):
        np.testing.assert_allclose(runner.forward(x), expected, rtol=1e-12, atol=1e-12)
    assert len(made) == calls
    runner.forward(x)
    assert len(made) == calls  # and it is still there
    assert [form.folder for form in g["conv1"].weight.prepared.values()] == ["reference", own.folder]


def test_winograd_or_not_are_prepared_apart(pair, x, made):
    _, runner = pair
    runner.freeze().forward(x)
    with minifcn.use_winograd(False):
        runner.forward(x)
        runner.forward(x)
    runner.forward(x)
    assert len(made) == 6


def test_gradients_of_a_frozen_network(pair, x, rng):
    """Saliency maps want them; the forms are used forward, and change nothing."""
    g, runner = pair
    gy = rng.normal(size=g.forward(x).shape)
    results = []
    for frozen in (False, True):
        (g.freeze if frozen else g.unfreeze)()
        runner.forward(x, record=True)
        gx = runner.backward(gy)
        results.append([gx, *(p.grad for p in g.parameters().values())])
        for p in g.parameters().values():
            p.grad = None
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_is_written_into_a_frozen_network(pair, x):
    g, runner = pair
    optimizer = optim.SGD(g.parameters(), 0.1)
    state = {name: array.copy() for name, array in g.state().items()}
    runner.freeze()
    with pytest.raises(ValueError, match="read-only"):
        g["conv1"].weight.data += 1
    with pytest.raises(RuntimeError, match=r"^Graph.load: expected a network that can be changed, got 'conv1.weight', "
                                           r"which is frozen. Call unfreeze\(\) first"):
        g.load({name: array + 1 for name, array in state.items()})
    for p in g.parameters().values():
        p.grad = np.ones_like(p.data)
    with pytest.raises(RuntimeError, match=r"^SGD.step: .* got 'conv1.weight', which is read-only. Call unfreeze"):
        optimizer.step()
    assert all(np.array_equal(array, state[name]) for name, array in g.state().items())
    g.unfreeze()
    optimizer.step()
    g.load(state)
    assert all(np.array_equal(array, state[name]) for name, array in g.state().items())


def test_conversion_drops_the_forms_and_keeps_it_frozen(pair, x, made):
    g, runner = pair
    runner.freeze().forward(x)
    runner.to(dtype=np.float32)
    assert not any(p.prepared for p in g.parameters().values())
    with pytest.raises(ValueError, match="read-only"):
        g["conv1"].weight.data += 1
    made.clear()
    assert runner.forward(x.astype(np.float32)).dtype == np.float32
    assert len(made) == 3
    runner.unfreeze()
    g["conv1"].weight.data += 1


def test_weights_that_were_read_only_before_stay_so(x):
    g = network()
    g["conv1"].bias.data.flags.writeable = False
    g.freeze().unfreeze()
    assert not g["conv1"].bias.data.flags.writeable
    assert g["conv1"].weight.data.flags.writeable


def test_the_layers_errors_are_those_of_the_op(x):
    g = network().freeze()
    with pytest.raises(ValueError, match=r"layer 'conv1': conv2d: expected x with 4 axes"):
        g.forward(x[0])
    with pytest.raises(TypeError, match=r"layer 'conv1': conv2d: expected x to be a NumPy or CuPy array, got list"):
        g.forward([1.0])
    with pytest.raises(ValueError, match=r"layer 'inner': layer 'conv2': conv2d: expected an input"):
        g.forward(x[..., :2])


@pytest.mark.parametrize("shape", [(1, 2, 9, 2), (1, 3, 9, 9)])
def test_a_frozen_network_complains_as_the_same_network_does_unfrozen(pair, shape):
    g, runs = pair
    messages = []
    for prepare in (g.unfreeze, g.freeze):
        prepare()
        with pytest.raises(ValueError, match=r"conv2d\w*: expected") as caught:
            runs.forward(np.ones(shape))
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
