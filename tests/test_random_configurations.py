"""Random configurations: every pass of the other folders against `reference`, in shapes that nobody would think of.

Hypothesis draws the configurations, always the same ones, and when two folders differ it looks for the smallest
configuration in which they do. `reference` itself is held to brute force in the tests of each op. It computes in
float64; the others do so too, and once more in float32, for which some have loops of their own.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minifcn
from minifcn import ops, use_kernels
from minifcn.arrays import to_device, to_numpy
from minifcn.kernels import folder_for, kernels_for, use_winograd

OTHERS = ("array", "cpu")
FEW, MANY = 100, 2000  # configurations in `make test`, in `make test-full`
EMULATED = 20  # times fewer on the emulated GPU, which takes milliseconds for a launch


@st.composite
def windows(draw, most_dilation=3):
    """Input size, kernel, stride, padding by side, dilation: such that at least one window fits."""
    axes = []
    for _ in range(2):
        kernel, dilation = draw(st.integers(1, 4)), draw(st.integers(1, most_dilation))
        before, after = draw(st.integers(0, 4)), draw(st.integers(0, 4))
        least = max(1, dilation * (kernel - 1) + 1 - before - after)
        axes.append((draw(st.integers(least, least + 6)), kernel, draw(st.integers(1, 4)), (before, after), dilation))
    size, kernel_size, stride, padding, dilation = zip(*axes, strict=True)
    return size, {"stride": stride, "padding": padding, "dilation": dilation}, kernel_size


def agree(run, dtypes=(np.float64, np.float32)):
    """`run(dtype)` gives the same arrays on every kernel folder as on `reference`, to the rounding of the dtype."""
    with use_kernels("reference"):
        expected = run(np.float64)
    for folder in OTHERS:
        for dtype in dtypes:
            with use_kernels(folder):
                found = run(dtype)
            for one, other in zip(found, expected, strict=True):
                assert one.shape == other.shape
                assert one.dtype == (dtype if other.dtype == np.float64 else other.dtype)
                np.testing.assert_allclose(one, other, **tolerance(other, dtype), err_msg=f"{folder} {dtype.__name__}")


def tolerance(expected, dtype):
    if dtype == np.float64:
        return {"rtol": 1e-11, "atol": 1e-11}
    return {"rtol": 0, "atol": 1e-4 * max(1, np.abs(expected).max(initial=0))}


@st.composite
def generators(draw):
    return np.random.default_rng(draw(st.integers(0, 99)))


@st.composite
def convolutions(draw):
    (h, w), options, kernel_size = draw(windows())
    groups, n = draw(st.sampled_from([1, 2, 3])), draw(st.integers(1, 3))
    channels, filters = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.standard_normal((n, channels, h, w))
    weight = rng.standard_normal((filters, channels // groups, *kernel_size))
    return x, weight, rng.standard_normal(filters), options | {"groups": groups}, rng


def check_convolution(case):
    x, weight, bias, options, rng = case
    y, _ = ops.conv2d(x, weight, bias, **options)
    gy = rng.standard_normal(y.shape)

    def run(dtype):
        arrays = x.astype(dtype), weight.astype(dtype), bias.astype(dtype)
        y, cache = ops.conv2d(*arrays, **options)
        positive, _ = ops.conv2d_relu(*arrays, **options)
        return (y, positive, *ops.conv2d_backward(gy.astype(dtype), cache))

    agree(run)


@st.composite
def transposed_convolutions(draw):
    rng, groups = draw(generators()), draw(st.sampled_from([1, 1, 2]))
    stride, dilation = [draw(st.integers(1, 4)) for _ in "hw"], [draw(st.integers(1, 2)) for _ in "hw"]
    kernel_size = [draw(st.integers(1, 6)) for _ in "hw"]
    output_padding = [draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)]
    # Of the smallest output, which one pixel makes, something is left.
    padding = [draw(st.integers(0, d * (k - 1) // 2)) for k, d in zip(kernel_size, dilation, strict=True)]
    channels, filters = groups * draw(st.integers(1, 3)), draw(st.integers(1, 3))
    x = rng.standard_normal((draw(st.integers(1, 2)), channels, draw(st.integers(1, 5)), draw(st.integers(1, 7))))
    weight = rng.standard_normal((channels, filters, *kernel_size))
    if groups == 1 and draw(st.booleans()):  # channel to channel alone, as upsampling does it, has a way of its own
        weight = weight[:, :1] * np.eye(channels)[:, :, None, None]
    options = {"stride": tuple(stride), "padding": tuple(padding), "dilation": tuple(dilation), "groups": groups,
               "output_padding": tuple(n if n < s else 0 for n, s in zip(output_padding, stride, strict=True))}
    return x, weight, rng.standard_normal(weight.shape[1] * groups), options, rng


def check_transposed(case):
    x, weight, bias, options, rng = case
    gy = rng.standard_normal(ops.conv_transpose2d(x, weight, bias, **options)[0].shape)

    def run(dtype):
        y, cache = ops.conv_transpose2d(x.astype(dtype), weight.astype(dtype), bias.astype(dtype), **options)
        return (y, *ops.conv_transpose2d_backward(gy.astype(dtype), cache))

    agree(run)


@st.composite
def winograd_convolutions(draw):
    """3x3 at stride 1 with channels and tiles enough for Winograd to be chosen, mostly."""
    rng, dilation = draw(generators()), draw(st.integers(1, 3))
    channels, filters = draw(st.integers(24, 70)), draw(st.integers(24, 70))
    h, w = (draw(st.integers(2 * dilation + 1, 24)) for _ in "hw")
    x = rng.standard_normal((draw(st.integers(1, 2)), channels, h, w), np.float32)
    weight = rng.standard_normal((filters, channels, 3, 3), np.float32) / np.float32(3 * channels**0.5)
    return x, weight, {"padding": draw(st.integers(0, 3)), "dilation": dilation}, rng


def check_winograd(case):
    """float32 against `array` in float64, which the other checks hold to `reference`: its loops would take minutes."""
    x, weight, options, rng = case
    bias = rng.standard_normal(len(weight), np.float32)
    gy = rng.standard_normal(ops.conv2d(x, weight, bias, **options)[0].shape, np.float32)

    def run(dtype):
        arrays = x.astype(dtype), weight.astype(dtype), bias.astype(dtype)
        y, cache = ops.conv2d(*arrays, **options)
        return (y, ops.conv2d_relu(*arrays, **options)[0], *ops.conv2d_backward(gy.astype(dtype), cache))

    with use_kernels("array"):
        expected = run(np.float64)
    for allowed in (True, False):
        with use_winograd(allowed), use_kernels(OTHERS[-1]):
            found = run(np.float32)
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == np.float32
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-4 * np.abs(other).max(), err_msg=f"{allowed=}")


@st.composite
def poolings(draw):
    (h, w), options, kernel_size = draw(windows())
    # At most half of the extent may be padding, and then the input may have to be larger.
    spans = [d * (k - 1) + 1 for k, d in zip(kernel_size, options["dilation"], strict=True)]
    options["padding"] = tuple(
        tuple(min(side, span // 2) for side in sides) for sides, span in zip(options["padding"], spans, strict=True)
    )
    size = tuple(max(n, span) for n, span in zip((h, w), spans, strict=True))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    values = draw(st.sampled_from([3, 1000]))  # few different values make ties
    x = rng.integers(0, values, (2, 2, *size)).astype(float)
    return x, options | {"kernel_size": kernel_size, "ceil_mode": draw(st.booleans())}, rng


def check_pooling(case):
    x, options, rng = case
    averaging = {name: value for name, value in options.items() if name != "dilation"}
    y, _ = ops.max_pool2d(x, **options)
    gy = rng.standard_normal(y.shape)
    gmean = rng.standard_normal(ops.avg_pool2d(x, **averaging)[0].shape) if fits_average(averaging) else None

    def run(dtype):
        (y, indices), cache = ops.max_pool2d(x.astype(dtype), return_indices=True, **options)
        results = [y, indices, ops.max_pool2d_backward(gy.astype(dtype), cache)]
        up, cache = ops.max_unpool2d(gy.astype(dtype), indices, output_size=x.shape[2:])
        results += [up, ops.max_unpool2d_backward(up, cache)]
        if gmean is not None:
            mean, cache = ops.avg_pool2d(x.astype(dtype), **averaging)
            results += [mean, ops.avg_pool2d_backward(gmean.astype(dtype), cache)]
        return results

    agree(run)


def fits_average(options):
    """Without dilation the extent is smaller, and with it the padding that is allowed."""
    return all(max(sides) <= k // 2 for sides, k in zip(options["padding"], options["kernel_size"], strict=True))


@st.composite
def resizings(draw):
    sizes = [draw(st.integers(1, 9)) for _ in range(4)]
    return (sizes[0], sizes[1]), (sizes[2], sizes[3]), draw(st.booleans()), draw(st.integers(0, 99))


def check_resizing(case):
    size, output_size, align_corners, seed = case
    rng = np.random.default_rng(seed)
    x, gy = rng.standard_normal((2, 2, *size)), rng.standard_normal((2, 2, *output_size))

    def run(dtype):
        y, cache = ops.resize_bilinear(x.astype(dtype), output_size=output_size, align_corners=align_corners)
        mean, mean_cache = ops.adaptive_avg_pool2d(x.astype(dtype), output_size=output_size)
        g = gy.astype(dtype)
        return y, ops.resize_bilinear_backward(g, cache), mean, ops.adaptive_avg_pool2d_backward(g, mean_cache)

    agree(run)


@st.composite
def maps(draw, least=1):
    """Maps of a few channels, from a number in each to more than a vector holds, and a generator."""
    rng = draw(generators())
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 7)), draw(st.integers(1, 5)), draw(st.integers(least, 40))
    return rng.normal(draw(st.sampled_from([0, 3])), 1, shape), rng


def check_batch_norm(case):
    """In float64 alone: of a few nearly equal numbers the gradients are differences that float32 cannot hold."""
    (x, rng), training = case
    gy = rng.standard_normal(x.shape)
    weight, bias, mean = rng.standard_normal((3, x.shape[1]))
    var = rng.uniform(0.5, 2, x.shape[1])

    def run(dtype):
        results = []
        for forward, backward in ((ops.batch_norm, ops.batch_norm_backward),
                                  (ops.batch_norm_relu, ops.batch_norm_relu_backward)):
            running = mean.copy(), var.copy()
            y, cache = forward(x, weight, bias, running_mean=running[0], running_var=running[1], training=training)
            results += [y, *running, *backward(gy, cache)]
        return results

    agree(run, dtypes=(np.float64,))


def check_maps(case):
    (x, rng), size, beta = case
    gy = rng.standard_normal(x.shape)

    def run(dtype):
        values, g = x.astype(dtype), gy.astype(dtype)
        y, cache = ops.local_response_norm(values, size=size, alpha=0.5, beta=beta)
        positive, relu_cache = ops.relu(values)
        return (y, ops.local_response_norm_backward(g, cache), positive, ops.relu_backward(g, relu_cache),
                kernels_for(g).channel_sums(g))

    agree(run)


def check_dropout(case):
    (x, rng), p, seed = case
    gy = rng.standard_normal(x.shape)

    def run(dtype):
        results = []
        for forward, backward in ((ops.dropout, ops.dropout_backward),
                                  (ops.spatial_dropout, ops.spatial_dropout_backward)):
            y, cache = forward(x.astype(dtype), p=p, rng=seed, training=True)
            results += [y, backward(gy.astype(dtype), cache)]
        return results

    agree(run)


def check_loss(case):
    (x, rng), reduction, weighted, by_pixel, void = case
    classes = x.shape[1]
    weight = rng.uniform(0.1, 2, classes) if weighted else None
    target = rng.integers(0, classes, (x.shape[0], *x.shape[2:]))
    target[rng.random(target.shape) < void] = 255
    target[0, 0, 0] = 0  # at least one counts
    pixel_weight = np.where(rng.random(target.shape) < 0.3, 0, rng.uniform(0, 11, target.shape)) if by_pixel else None
    if by_pixel:
        pixel_weight[0, 0, 0] = 1

    def run(dtype):
        weights, by_place = (None if a is None else a.astype(dtype) for a in (weight, pixel_weight))
        y, cache = ops.softmax_cross_entropy(5 * x.astype(dtype), target, weight=weights, pixel_weight=by_place,
                                             reduction=reduction)
        return y, ops.softmax_cross_entropy_backward(2.0, cache)

    agree(run)


def check_updates(case):
    (x, rng), lr, decay, step = case
    data, gradient, velocity, first, second = x, *rng.standard_normal((3, *x.shape)), rng.uniform(0, 1, x.shape)

    def run(dtype):
        g, passes = gradient.astype(dtype), kernels_for(gradient)
        sgd, adam = [[a.astype(dtype)] for a in (data, velocity)], [[a.astype(dtype)] for a in (data, first, second)]
        passes.sgd_update(sgd[0], [g], sgd[1], [lr], 0.9, [decay])
        passes.adam_update(adam[0], [g], *adam[1:], [lr], 0.9, 0.999, 1e-8, [decay], step)
        return [array for (array,) in sgd + adam]

    agree(run)


CHECKS = {
    "convolution": (convolutions(), check_convolution),
    "transposed convolution": (transposed_convolutions(), check_transposed),
    "winograd": (winograd_convolutions(), check_winograd),
    "pooling": (poolings(), check_pooling),
    "resizing": (resizings(), check_resizing),
    "batch norm": (st.tuples(maps(least=2), st.booleans()), check_batch_norm),
    "LRN, ReLU, channel sums": (st.tuples(maps(), st.integers(1, 9), st.sampled_from([0.75, 0.5, 1.0])), check_maps),
    "dropout": (st.tuples(maps(), st.sampled_from([0.1, 0.5, 1.0]), st.integers(0, 99)), check_dropout),
    "loss": (st.tuples(maps(), st.sampled_from(["sum", "mean", "valid", "batch"]), st.booleans(), st.booleans(),
                       st.sampled_from([0, 0.3, 0.9])), check_loss),
    "updates": (st.tuples(maps(), st.sampled_from([0.1, 1e-3]), st.sampled_from([0, 1e-2]), st.integers(1, 1000)),
                check_updates),
}


def hunt(name, count):
    cases, check = CHECKS[name]
    settings(max_examples=count, derandomize=True, deadline=None, database=None)(given(cases)(check))()


@pytest.fixture
def emulated(monkeypatch):
    """Hold `cuda` to `reference`, and no other folder."""
    monkeypatch.setitem(globals(), "OTHERS", ("cuda",))


class OnGpu:
    """`minifcn.ops`, but for the folder `cuda` arrays are brought to a GPU and results back; caches stay there."""

    def __getattr__(self, name):
        op = getattr(minifcn.ops, name)

        def computed(*arrays, **options):
            if folder_for(arrays[0]) != "cuda":
                return op(*arrays, **options)
            result = op(*map(there, arrays), **{key: there(value) for key, value in options.items()})
            return back(result) if name.endswith("_backward") else (back(result[0]), result[1])

        return computed


def there(value):
    return to_device(value, "cuda") if isinstance(value, np.ndarray) else value


def back(value):
    if isinstance(value, tuple):
        return tuple(map(back, value))
    return None if value is None else to_numpy(value)


@pytest.mark.parametrize("name", CHECKS)
def test_some(name):
    hunt(name, FEW)


@pytest.mark.emulator
@pytest.mark.parametrize("name", CHECKS)
def test_some_on_the_emulator(name, emulated):
    hunt(name, FEW // EMULATED)


@pytest.mark.full
@pytest.mark.parametrize("name", CHECKS)
def test_many(name):
    hunt(name, MANY)


@pytest.mark.full
@pytest.mark.emulator
@pytest.mark.parametrize("name", CHECKS)
def test_many_on_the_emulator(name, emulated):
    hunt(name, MANY // EMULATED)


@pytest.mark.gpu
@pytest.mark.parametrize("name", [name for name in CHECKS if name not in ("batch norm", "updates")])  # these change
def test_some_on_a_gpu(name, emulated, monkeypatch):  # arrays in place, which stay on the host here
    monkeypatch.setitem(globals(), "ops", OnGpu())
    hunt(name, FEW)
