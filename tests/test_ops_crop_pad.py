"""Cropping and padding against NumPy's slices and `numpy.pad`, and against each other's gradients."""

import numpy as np
import pytest

from minifcn import ops

PADDINGS = [(0, 0, 0, 0), (1, 2, 3, 0), (0, 3, 1, 2), (3, 3, 4, 4), (2, 0, 0, 4)]  # top, bottom, left, right


@pytest.fixture
def x(rng):
    return rng.standard_normal((2, 3, 4, 5))


def numerical_gradient(f, x, gy):
    """Central differences of sum(f(x) * gy), one element after the other. A step of 1 is exact: f is linear in x."""
    gradient = np.empty_like(x)
    for place in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[place] += 1
        below[place] -= 1
        gradient[place] = np.sum((f(above) - f(below)) * gy) / 2
    return gradient


@pytest.mark.parametrize(("offset", "size"), [
    ((1, 2), (2, 3)), ((0, 0), (4, 5)), ((3, 0), (1, 5)), (1, 2), ((2, 4), 1)])
def test_crop_is_a_slice(x, rng, offset, size):
    (top, left), (height, width) = np.broadcast_to(offset, 2), np.broadcast_to(size, 2)
    y, cache = ops.crop(x, offset=offset, size=size)
    assert y.shape == (2, 3, height, width)
    for place in np.ndindex(y.shape):
        assert y[place] == x[place[0], place[1], place[2] + top, place[3] + left]
    gy = rng.standard_normal(y.shape)
    gx = ops.crop_backward(gy, cache)
    np.testing.assert_allclose(gx, numerical_gradient(lambda x: ops.crop(x, offset=offset, size=size)[0], x, gy),
                               atol=1e-13)


def test_crop_is_a_copy(x):
    """A view would keep the whole map in memory, and tie the two together."""
    y, _ = ops.crop(x, offset=0, size=(4, 5))
    assert not np.shares_memory(x, y)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("mode", "value"), [("constant", 0), ("constant", -1.5), ("reflect", 0)])
def test_pad_is_numpys(x, padding, mode, value):
    top, bottom, left, right = padding
    y, _ = ops.pad(x, padding=padding, mode=mode, value=value)
    settings = {"constant_values": value} if mode == "constant" else {}
    np.testing.assert_array_equal(y, np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), mode, **settings))


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_pad_gradient_is_central_differences(x, rng, padding, mode):
    y, cache = ops.pad(x, padding=padding, mode=mode, value=2.5)
    gy = rng.standard_normal(y.shape)
    expected = numerical_gradient(lambda x: ops.pad(x, padding=padding, mode=mode, value=2.5)[0], x, gy)
    np.testing.assert_allclose(ops.pad_backward(gy, cache), expected, atol=1e-12)


def test_reflection_by_hand():
    x = np.array([[[[1.0, 2.0, 3.0, 4.0]]]])
    y, cache = ops.pad(x, padding=(0, 0, 2, 3), mode="reflect")
    np.testing.assert_array_equal(y, [[[[3, 2, 1, 2, 3, 4, 3, 2, 1]]]])
    gx = ops.pad_backward(np.ones_like(y), cache)
    np.testing.assert_array_equal(gx, [[[[2, 3, 3, 1]]]])  # how often each number is seen


def test_cropping_undoes_padding_and_each_is_the_others_gradient(x, rng):
    padded, pad_cache = ops.pad(x, padding=(1, 2, 3, 0))
    cropped, crop_cache = ops.crop(padded, offset=(1, 3), size=(4, 5))
    np.testing.assert_array_equal(cropped, x)
    np.testing.assert_array_equal(ops.crop_backward(x, crop_cache), padded)
    gy = rng.standard_normal(padded.shape)
    np.testing.assert_array_equal(ops.pad_backward(gy, pad_cache), ops.crop(gy, offset=(1, 3), size=(4, 5))[0])


@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_adjoint(x, rng, mode):
    y, cache = ops.pad(x, padding=(2, 1, 0, 3), mode=mode)
    gy = rng.standard_normal(y.shape)
    assert np.sum(ops.pad_backward(gy, cache) * x) == pytest.approx(np.sum(gy * y), rel=1e-12)


FORWARDS = {
    "crop": (lambda x: ops.crop(x, offset=(1, 0), size=(2, 4)), ops.crop_backward),
    "constant": (lambda x: ops.pad(x, padding=(1, 2, 3, 0)), ops.pad_backward),
    "reflect": (lambda x: ops.pad(x, padding=(1, 2, 3, 0), mode="reflect"), ops.pad_backward),
}


@pytest.mark.parametrize("name", FORWARDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_layout_inputs_untouched_backward_twice(x, name, dtype):
    forward, backward = FORWARDS[name]
    x = x.astype(dtype)
    y, cache = forward(x)
    gx = backward(y, cache)
    assert y.dtype == gx.dtype == dtype
    other, other_gy = (np.asfortranarray(np.repeat(a, 2, axis=3))[..., ::2] for a in (x, y))
    other_y, cache = forward(other)
    np.testing.assert_array_equal(other_y, y)
    for _ in range(2):
        np.testing.assert_array_equal(backward(other_gy, cache), gx)
    np.testing.assert_array_equal(other, x)
    np.testing.assert_array_equal(other_gy, y)
    assert backward(y, cache, needs=(False,)) is None


@pytest.mark.parametrize("name", FORWARDS)
def test_nan_propagates(x, name):
    x[1, 2, 1, 3] = np.nan
    y, _ = FORWARDS[name][0](x)
    # Reflected rows show 1 0 1 2 3 2 1 and columns 3 2 1 0 1 2 3 4: row 1 three times and column 3 twice.
    assert np.isnan(y).sum() == (6 if name == "reflect" else 1)
    assert np.isnan(y[1, 2]).any()


X = np.zeros((2, 3, 4, 5))


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: ops.crop([1.0], offset=0, size=1), TypeError, "^crop: expected x to be a NumPy or CuPy array, got list"),
    (lambda: ops.crop(X[0], offset=0, size=1), ValueError, r"^crop: expected x with 4 axes \(N, C, H, W\), got shape"),
    (lambda: ops.crop(X, offset=(2, 1), size=(3, 4)), ValueError,
     r"^crop: expected a rectangle inside the image of 4x5, got offset \(2, 1\) and size \(3, 4\), which reaches to "
     r"\(5, 5\)\. Use a smaller offset or size, or a larger input"),
    (lambda: ops.crop(X, offset=(0, 3), size=(4, 3)), ValueError,
     r"got offset \(0, 3\) and size \(4, 3\), which reaches"),
    (lambda: ops.crop(X, offset=-1, size=1), ValueError, "^crop: expected offset of at least 0, got -1"),
    (lambda: ops.crop(X, offset=0, size=0), ValueError, "^crop: expected size of at least 1, got 0"),
    (lambda: ops.crop(X, offset=0, size=None), TypeError, "^crop: expected size as an int or .* got None"),
    (lambda: ops.pad(None, padding=(0, 0, 0, 0)), TypeError,
     "^pad: expected x to be a NumPy or CuPy array, got NoneType"),
    (lambda: ops.pad(X, padding=1), ValueError,
     r"^pad: expected padding as \(top, bottom, left, right\), four ints of at least 0, got 1\. To cut something"),
    (lambda: ops.pad(X, padding=(1, 2)), ValueError, r"four ints of at least 0, got \(1, 2\)"),
    (lambda: ops.pad(X, padding=(1, 2, -1, 0)), ValueError, r"four ints of at least 0, got \(1, 2, -1, 0\)"),
    (lambda: ops.pad(X, padding=(1, 2, 0.5, 0)), ValueError, r"four ints of at least 0, got \(1, 2, 0\.5, 0\)"),
    (lambda: ops.pad(X, padding=(0, 0, 0, 0), mode="edge"), ValueError,
     "^pad: expected mode 'constant' or 'reflect', got 'edge'. Choose one of these"),
    (lambda: ops.pad(X, padding=(0, 0, 0, 0), value="0"), TypeError,
     "^pad: expected value as a number, got str. Pass one"),
    (lambda: ops.pad(X, padding=(4, 0, 0, 0), mode="reflect"), ValueError,
     r"^pad: expected reflect padding smaller than the image of 4x5, got \(4, 0, 0, 0\)\. There is not enough"),
    (lambda: ops.pad(X, padding=(0, 0, 0, 5), mode="reflect"), ValueError, r"image of 4x5, got \(0, 0, 0, 5\)"),
])
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("name", FORWARDS)
def test_bad_gradients(name):
    forward, backward = FORWARDS[name]
    y, cache = forward(X)
    op = "crop" if name == "crop" else "pad"
    with pytest.raises(ValueError, match=rf"^{op}_backward: expected gy of .* shape .*, got \(2, 3, 4, 5\)"):
        backward(X, cache)
    with pytest.raises(TypeError, match=f"^{op}_backward: expected gy of .* dtype float64, got float32"):
        backward(y.astype("float32"), cache)
    with pytest.raises(ValueError, match=f"^{op}_backward: expected needs with 1 values, .* got 2"):
        backward(y, cache, needs=(True, True))
