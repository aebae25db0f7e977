"""Concatenation, addition and scaling: what joins branches, and takes gradients apart again."""

import numpy as np
import pytest

from minifcn import ops


@pytest.fixture
def parts(rng):
    """Three maps that differ in channels only."""
    return [rng.standard_normal((2, channels, 3, 4)) for channels in (3, 1, 2)]


@pytest.fixture
def terms(rng):
    return [rng.standard_normal((2, 3, 4, 5)) for _ in range(3)]


def test_concat_lays_side_by_side(parts):
    y, _ = ops.concat(*parts)
    assert y.shape == (2, 6, 3, 4)
    for channel, (part, own) in enumerate([(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (2, 1)]):
        np.testing.assert_array_equal(y[:, channel], parts[part][:, own])


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -3])
def test_concat_backward_cuts_at_the_same_places(rng, axis):
    shapes = [[2, 3, 4, 5] for _ in range(3)]
    for extra, shape in enumerate(shapes):
        shape[axis] += extra
    xs = [rng.standard_normal(shape) for shape in shapes]
    y, cache = ops.concat(*xs, axis=axis)
    for gx, x in zip(ops.concat_backward(y, cache), xs, strict=True):
        np.testing.assert_array_equal(gx, x)  # y itself as gy: every part must come back as what it was made of


def test_concat_backward_copies_nothing(parts):
    y, cache = ops.concat(*parts)
    assert all(np.shares_memory(gx, y) for gx in ops.concat_backward(y, cache))


def test_add_is_the_sum(terms):
    y, _ = ops.add(*terms)
    for place in np.ndindex(y.shape):
        assert y[place] == pytest.approx(sum(term[place] for term in terms), abs=1e-14)


def test_add_backward_hands_the_same_array_to_all(terms, rng):
    y, cache = ops.add(*terms)
    gy = rng.standard_normal(y.shape)
    assert all(gx is gy for gx in ops.add_backward(gy, cache))


def test_one_input_is_copied(terms):
    """So that nobody who works on the output in place, such as the next layer's bias, changes the input."""
    for op in (ops.add, ops.concat):
        y, _ = op(terms[0])
        np.testing.assert_array_equal(y, terms[0])
        assert not np.shares_memory(y, terms[0])


@pytest.mark.parametrize("factor", [0.01, -3, np.float64(0.5), np.float32(0.5), np.int64(2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scale(terms, rng, factor, dtype):
    x = terms[0].astype(dtype)
    y, cache = ops.scale(x, factor=factor)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, [[[[float(factor) * v for v in row] for row in m] for m in n] for n in x], rtol=1e-6)
    gy = rng.standard_normal(x.shape).astype(dtype)
    gx = ops.scale_backward(gy, cache)
    assert gx.dtype == dtype
    assert np.sum(gx * x) == pytest.approx(np.sum(gy * y), rel=1e-4)  # its own adjoint


def test_adjoints(parts, terms, rng):
    for op, backward, xs in ((ops.concat, ops.concat_backward, parts), (ops.add, ops.add_backward, terms)):
        y, cache = op(*xs)
        gy = rng.standard_normal(y.shape)
        gxs = backward(gy, cache)
        assert sum(np.sum(gx * x) for gx, x in zip(gxs, xs, strict=True)) == pytest.approx(np.sum(gy * y), rel=1e-12)


def test_dtype_layout_and_inputs_untouched(parts, terms):
    for op, xs in ((ops.concat, parts), (ops.add, terms)):
        y, _ = op(*xs)
        others = [np.asfortranarray(x.astype("float32"))[..., ::-1] for x in xs]
        kept = [x.copy() for x in others]
        other_y, _ = op(*others)
        assert other_y.dtype == np.float32
        np.testing.assert_allclose(other_y, y[..., ::-1], rtol=1e-5, atol=1e-6)
        for x, before in zip(others, kept, strict=True):
            np.testing.assert_array_equal(x, before)


def test_nan_propagates(terms):
    terms[1][1, 2, 3, 4] = np.nan
    for y in (ops.add(*terms)[0], ops.scale(terms[1], factor=0)[0]):
        np.testing.assert_array_equal(np.argwhere(np.isnan(y)), [[1, 2, 3, 4]])
    np.testing.assert_array_equal(np.argwhere(np.isnan(ops.concat(*terms)[0])), [[1, 5, 3, 4]])


def test_needs(parts, terms):
    for op, backward, xs in ((ops.concat, ops.concat_backward, parts), (ops.add, ops.add_backward, terms)):
        y, cache = op(*xs)
        every, some = backward(y, cache), backward(y, cache, needs=(True, False, True))
        assert some[1] is None
        for index in (0, 2):
            np.testing.assert_array_equal(some[index], every[index])
    y, cache = ops.scale(terms[0], factor=2)
    assert ops.scale_backward(y, cache, needs=(False,)) is None


A, B = np.zeros((2, 3, 4, 5)), np.zeros((2, 3, 4, 6))


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: ops.concat(), ValueError, "^concat: expected at least one array, got none. Pass the arrays one after"),
    (lambda: ops.concat([A, A]), TypeError, r"^concat: expected xs\[0\] to be a NumPy or CuPy array, got list"),
    (lambda: ops.concat(A, A.astype("float32")), TypeError,
     r"^concat: expected xs\[1\] of the dtype of x \(float64\), got float32"),
    (lambda: ops.concat(A, A.astype(int)), TypeError,
     r"^concat: expected xs\[1\] of dtype float32 or float64, got int64"),
    (lambda: ops.concat(A, A, B), ValueError,
     r"^concat: expected arrays of equal shapes apart from axis 1, got \(2, 3, 4, 5\) and \(2, 3, 4, 6\) \(input 2\)"),
    (lambda: ops.concat(A, A[0]), ValueError, r"apart from axis 1, got \(2, 3, 4, 5\) and \(3, 4, 5\) \(input 1\)"),
    (lambda: ops.concat(A, A, axis=4), ValueError, "^concat: expected axis as an int from -4 to 3 .*, got 4"),
    (lambda: ops.add(), ValueError, "^add: expected at least one array, got none"),
    (lambda: ops.add(A, 1.5), TypeError, r"^add: expected xs\[1\] to be a NumPy or CuPy array, got float"),
    (lambda: ops.add(A, B), ValueError,
     r"^add: expected arrays of equal shapes, got \(2, 3, 4, 5\) and \(2, 3, 4, 6\) \(input 1\)\. Crop, resize"),
    (lambda: ops.add(A, A[:1]), ValueError, r"got \(2, 3, 4, 5\) and \(1, 3, 4, 5\) \(input 1\)"),
    (lambda: ops.scale(A, factor=A), TypeError,
     "^scale: expected factor as a number, got ndarray. To scale each channel differently use a 1x1 convolution"),
    (lambda: ops.scale(None, factor=1), TypeError, "^scale: expected x to be a NumPy or CuPy array, got NoneType"),
])
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_bad_gradients():
    for forward, backward, shape in (
        (lambda: ops.concat(A, A), ops.concat_backward, (2, 6, 4, 5)),
        (lambda: ops.add(A, A), ops.add_backward, (2, 3, 4, 5)),
        (lambda: ops.scale(A, factor=2), ops.scale_backward, (2, 3, 4, 5)),
    ):
        y, cache = forward()
        wanted = ", ".join(map(str, shape))
        with pytest.raises(ValueError, match=rf"_backward: expected gy of .* shape \({wanted}\), got \(2, 3, 4, 6\)"):
            backward(B, cache)
        with pytest.raises(TypeError, match=r"_backward: expected gy of .* dtype float64, got float32"):
            backward(y.astype("float32"), cache)
        with pytest.raises(ValueError, match=r"_backward: expected needs with [123] values, .* got \d"):
            backward(y, cache, needs=(True,) * 4)
