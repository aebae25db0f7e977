# %% [markdown]
# # Convolution by hand
#
# A convolution is a sum of products, repeated at every pixel. Its backward pass is the same sum, read the other way.
# This page does both on a 4x4 image, with numbers that you can check in your head. It shows the code that the library
# runs, and the tools that find out whether such code is right. It ends with an exercise.
#
# Run it top to bottom with `python tutorials/01_convolution_by_hand.py`; it takes a few seconds. Or open it as a
# notebook, cell by cell, in an editor that knows the percent format (VS Code, Spyder, PyCharm, Jupyter with jupytext).

# %%
import numpy as np

import minifcn
from minifcn import ops

# %% [markdown]
# ## 1. The image, the filter and one output number
#
# Arrays of images have four axes: (N, C, H, W), that is images, channels, height, width. Ours holds 1 image with 1
# channel of 4x4 pixels. The filter has the axes (O, C, KH, KW): 1 output channel, 1 input channel, 3x3 numbers. The
# nine positions in a filter are called its *taps*. The bias is one number for each output channel.

# %%
x = np.array([[1, 2, 0, 1],
              [3, 1, 0, 2],
              [2, 1, 4, 1],
              [1, 0, 2, 3]], float)[None, None]  # (1, 1, 4, 4)

weight = np.array([[1, 2, 0],
                   [0, 1, -1],
                   [2, 0, 1]], float)[None, None]  # (1, 1, 3, 3)

bias = np.array([1.0])  # (1,)

# %% [markdown]
# Lay the filter on the top left corner of the image. Multiply each pixel by the tap that lies on it, add up the nine
# products, add the bias. That is the output pixel y[0, 0]. Then move the filter one pixel to the right for y[0, 1],
# and one pixel down for the second row. A 3x3 filter fits into a 4x4 image in 2x2 places, so y is 2x2:
#
#     y[0, 0] = 1*1 + 2*2 + 0*0 + 3*0 + 1*1 + 0*(-1) + 2*2 + 1*0 + 4*1 + 1 = 15
#     y[0, 1] = 2*1 + 0*2 + 1*0 + 1*0 + 0*1 + 2*(-1) + 1*2 + 4*0 + 1*1 + 1 = 4
#     y[1, 0] = 3*1 + 1*2 + 0*0 + 2*0 + 1*1 + 4*(-1) + 1*2 + 0*0 + 2*1 + 1 = 7
#     y[1, 1] = 1*1 + 0*2 + 2*0 + 1*0 + 4*1 + 1*(-1) + 0*2 + 2*0 + 3*1 + 1 = 8
#
# The library gets the same four numbers. `ops.conv2d` returns two things: the output, and a *cache*, which holds what
# the backward pass will need.

# %%
y, cache = ops.conv2d(x, weight, bias)
print("y =", y[0, 0], sep="\n")
assert np.array_equal(y[0, 0], [[15, 4],
                                [7, 8]])

# %% [markdown]
# As a formula, with output pixel (p, q), tap (i, j), and one channel:
#
#     y[p, q] = bias + sum over i and j of  x[p + i, q + j] * weight[i, j]
#
# Mathematicians call this a *cross-correlation*. What they call a convolution turns the filter by 180 degrees first.
# Deep learning does not turn it: the filter is learned, and would merely come out turned. SciPy has both and keeps the
# names apart, so it can tell us which one ours is.

# %%
from scipy import signal

assert np.array_equal(y[0, 0], signal.correlate2d(x[0, 0], weight[0, 0], mode="valid") + bias)
assert not np.array_equal(y[0, 0], signal.convolve2d(x[0, 0], weight[0, 0], mode="valid") + bias)

# %% [markdown]
# ## 2. The code that did it
#
# Two functions share the work. The *op* checks the arguments, works out how many windows fit, and calls a *kernel*.

# %%
from minifcn.explain import show_source

show_source(ops.conv2d)

# %% [markdown]
# The kernel has the loops and nothing else. The library holds each kernel several times, in folders of the same
# layout. The folder `reference` is the one to read: plain Python, one multiplication at a time. It is slow, and it
# defines what all the others have to compute.

# %%
from minifcn.kernels import reference

show_source(reference.conv2d)

# %% [markdown]
# Read it from the inside out. `total += x * weight` is the sum above. The line before it finds the pixel (iy, ix)
# that lies under tap (i, j): with stride 1, padding 0 and dilation 1 it says `iy = p + i` and `ix = q + j`. The
# `if` treats everything outside the image as zero. The loops over n, o and c repeat the sum for each image, for each
# output channel, and over the input channels.
#
# A kernel gets everything as plain arrays and numbers, in a fixed order. So we can call it ourselves.

# %%
oh, ow = 2, 2  # the size of the output
sh, sw = 1, 1  # stride, vertical and horizontal
ph, pw = 0, 0  # padding above and to the left
dh, dw = 1, 1  # dilation
groups = 1
assert np.array_equal(reference.conv2d(x, weight, bias, oh, ow, sh, sw, ph, pw, dh, dw, groups), y)

# %% [markdown]
# Normally the library chooses the folder by itself. `use_kernels` chooses it for you, for everything inside the
# `with` block. With "reference" you can set a breakpoint in the loop above and watch each product. The folder "array"
# does the same sums as matrix products, which is many times faster.

# %%
for folder in ("reference", "array"):
    with minifcn.use_kernels(folder):
        assert np.array_equal(ops.conv2d(x, weight, bias)[0], y)

# %% [markdown]
# ## 3. Padding, stride, dilation
#
# Three options change which pixel lies under which tap. They are all in one line of the kernel:
#
#     iy = p * stride + i * dilation - padding
#
# The width goes the same way. A filter of KH rows with a dilation covers dilation*(KH - 1) + 1 rows of the image, and
# so the number of output rows is
#
#     OH = floor((H + top + bottom - dilation*(KH - 1) - 1) / stride) + 1

# %%
from minifcn.ops import geometry

show_source(geometry.extent)
show_source(geometry.window_count)

# %% [markdown]
# **Padding** surrounds the image with zeros. With one row or column on each side, a 3x3 filter keeps the image's
# size: (4 + 1 + 1 - 2 - 1)/1 + 1 = 4. At the corner only four taps lie on the image; the other five meet zeros:
#
#     y[0, 0] = 1*1 + 2*(-1) + 3*0 + 1*1 + 1 = 1
#
# Further inside nothing changes: the middle of the result is the y from before.

# %%
padded, _ = ops.conv2d(x, weight, bias, padding=1)
print("padding=1:", padded[0, 0], sep="\n")
assert padded.shape == (1, 1, 4, 4)
assert padded[0, 0, 0, 0] == 1
assert np.array_equal(padded[:, :, 1:3, 1:3], y)

# %% [markdown]
# **Stride** moves the filter by more than one pixel at a time. Stride 2 with padding 1 gives
# floor((4 + 1 + 1 - 2 - 1)/2) + 1 = floor(1.5) + 1 = 2 rows: every second row and column of the result with stride 1.
#
# Without padding it gives floor((4 - 2 - 1)/2) + 1 = 1 row. Only whole windows count: the next one would need a fifth
# row, so it is left out, and the last row and column of x are never read.

# %%
strided, _ = ops.conv2d(x, weight, bias, padding=1, stride=2)
print("padding=1, stride=2:", strided[0, 0], sep="\n")
assert np.array_equal(strided, padded[:, :, ::2, ::2])
assert np.array_equal(ops.conv2d(x, weight, bias, stride=2)[0], y[:, :, :1, :1])

# %% [markdown]
# **Dilation** spreads the taps apart. With dilation 2 there is one pixel between neighbouring taps, and the 3x3 filter
# covers 5x5 pixels. With padding 1 the first window starts at row -1 and column -1, and its nine taps lie on the rows
# and columns -1, 1 and 3. Those at -1 meet zeros, and four pixels of the image are left: (1, 1), (1, 3), (3, 1) and
# (3, 3).
#
#     y[0, 0] = 1*1 + 2*(-1) + 0*0 + 3*1 + 1 = 3
#
# The size is (4 + 1 + 1 - 4 - 1)/1 + 1 = 2.

# %%
dilated, _ = ops.conv2d(x, weight, bias, padding=1, dilation=2)
print("padding=1, dilation=2:", dilated[0, 0], sep="\n")
assert dilated.shape == (1, 1, 2, 2)
assert dilated[0, 0, 0, 0] == 3

# %% [markdown]
# Without padding, a filter that covers 5x5 pixels does not fit into a 4x4 image. The op says so. All errors of this
# library have that form: what was expected and why, what it got, what to do.

# %%
try:
    ops.conv2d(x, weight, bias, dilation=2)
except ValueError as error:
    print(f"ValueError: {error}")
else:
    raise AssertionError("a filter of 5x5 pixels fitted into an image of 4x4")

# %% [markdown]
# ## 4. Backward: the question
#
# In training, a number called the loss L is computed from y: the smaller, the better. The layers above have worked out
# the gradient of L with respect to y, one number for each output pixel:
#
#     gy[p, q] = dL / dy[p, q]
#
# It says how fast L grows when y[p, q] grows. The layer owes three answers: how fast L grows with each pixel of x
# (**gx**, which the layer below asks for), with each tap (**gweight**) and with the bias (**gbias**; the optimiser asks
# for these two). Gradients have the shape of what they belong to. Let us say that gy is

# %%
gy = np.array([[1, -1],
               [2, 3]], float)[None, None]  # (1, 1, 2, 2), the shape of y

# %% [markdown]
# ### The gradient of the input
#
# Take the pixel x[1, 1] and ask: which outputs did it reach, and through which taps? Look at the four sums in section
# 1, or solve `p + i = 1, q + j = 1`. It was multiplied by
#
# - weight[1, 1] on its way into y[0, 0],
# - weight[1, 0] on its way into y[0, 1],
# - weight[0, 1] on its way into y[1, 0],
# - weight[0, 0] on its way into y[1, 1].
#
# If x[1, 1] grows by a little e, then y[0, 0] grows by weight[1, 1]*e, and by this way L grows by
# gy[0, 0]*weight[1, 1]*e. The four ways add up. That is the chain rule:
#
#     gx[1, 1] = gy[0, 0]*weight[1, 1] + gy[0, 1]*weight[1, 0] + gy[1, 0]*weight[0, 1] + gy[1, 1]*weight[0, 0]
#
#     gx[1, 1] = 1*1 + (-1)*0 + 2*2 + 3*1 = 8
#
# A pixel in the corner reached a single output, a pixel at the edge reached two:
#
#     gx[0, 0] = 1*1 = 1
#     gx[0, 1] = 1*2 + (-1)*1 = 1
#     gx[3, 3] = 3*1 = 3

# %%
gx, gweight, gbias = ops.conv2d_backward(gy, cache)
print("gx =", gx[0, 0], sep="\n")
assert gx[0, 0, 1, 1] == 8
assert np.array_equal(gx[0, 0], [[1, 1, -2, 0],
                                 [2, 8, 4, 1],
                                 [2, 0, 2, -4],
                                 [4, 6, 2, 3]])

# %% [markdown]
# You may not trust the chain rule yet. So move x[1, 1] and look at the loss. Any loss with this gy will do; the
# simplest is L = sum(gy * y). A convolution is linear in x, so we need no tiny step here: when x[1, 1] grows by 1, L
# must grow by gx[1, 1], exactly.

# %%
moved = x.copy()
moved[0, 0, 1, 1] += 1
before, after = (gy * y).sum(), (gy * ops.conv2d(moved, weight, bias)[0]).sum()
print(f"x[1, 1] grows by 1: L goes from {before:g} to {after:g}")
assert after - before == gx[0, 0, 1, 1]

# %% [markdown]
# ### The gradients of the weight and the bias
#
# The same question for the tap weight[0, 0]: which outputs did it reach? All four, because the filter was laid on all
# four places. It was multiplied by x[0, 0] for y[0, 0], by x[0, 1] for y[0, 1], and so on. So
#
#     gweight[0, 0] = 1*1 + (-1)*2 + 2*3 + 3*1 = 8
#     gweight[0, 1] = 1*2 + (-1)*0 + 2*1 + 3*0 = 4
#     gweight[0, 2] = 1*0 + (-1)*1 + 2*0 + 3*2 = 5
#     gweight[1, 0] = 1*3 + (-1)*1 + 2*2 + 3*1 = 9
#     gweight[1, 1] = 1*1 + (-1)*0 + 2*1 + 3*4 = 15
#     gweight[1, 2] = 1*0 + (-1)*2 + 2*4 + 3*1 = 9
#     gweight[2, 0] = 1*2 + (-1)*1 + 2*1 + 3*0 = 3
#     gweight[2, 1] = 1*1 + (-1)*4 + 2*0 + 3*2 = 3
#     gweight[2, 2] = 1*4 + (-1)*1 + 2*2 + 3*3 = 16
#
# The bias was added to each output once, so its gradient is the sum of gy:
#
#     gbias = 1*1 + (-1)*1 + 2*1 + 3*1 = 5

# %%
print("gweight =", gweight[0, 0], sep="\n")
print("gbias =", gbias)
assert np.array_equal(gweight[0, 0], [[8, 4, 5],
                                      [9, 15, 9],
                                      [3, 3, 16]])
assert np.array_equal(gbias, [5])

# %% [markdown]
# Look at the sums for gweight again: four numbers of gy are laid on the image and multiplied by what lies below. That
# is a convolution too, of x with gy as its filter. (With one image and one channel it is exactly that. With more, the
# images are summed over, and every pair of an input and an output channel has its own.)

# %%
assert np.array_equal(ops.conv2d(x, gy)[0], gweight)

# %% [markdown]
# ### The code
#
# The kernels of the two gradients walk through the same pairs of pixel and tap as the forward pass.

# %%
show_source(reference.conv2d_grad_input)
show_source(reference.conv2d_grad_weight)

# %% [markdown]
# Compare them with the forward kernel in section 2. The line that finds (iy, ix) is the same. Only the innermost line
# differs: what was read is now written. Several windows write into the same pixel of gx, and every window writes into
# every tap of gweight, so the line must add. To write `=` in place of `+=` is the classic mistake.

# %%
import inspect

for kernel in (reference.conv2d, reference.conv2d_grad_input, reference.conv2d_grad_weight):
    source = inspect.getsource(kernel)
    assert "iy, ix = p * sh + i * dh - ph, q * sw + j * dw - pw" in source
    print(f"{kernel.__name__:20}", *[line.strip() for line in source.splitlines() if "+=" in line])

# %% [markdown]
# The op calls them with what the forward pass left in the cache. Each gradient is computed only if it is wanted: in
# training nobody asks for the gradient of the photograph.

# %%
show_source(ops.conv2d_backward)

for folder in ("reference", "array"):
    with minifcn.use_kernels(folder):
        again = ops.conv2d_backward(gy, cache)
    assert all(np.array_equal(a, b) for a, b in zip(again, (gx, gweight, gbias), strict=True))

# %% [markdown]
# ## 5. gx is a transposed convolution
#
# The forward pass gathers nine pixels into one. The gradient of the input does the reverse: each gy[p, q] is spread
# over the 3x3 pixels that it was gathered from, times the filter, and where these stamps overlap they add. This
# operation is useful by itself, because it turns a small map into a larger one. Segmentation networks upsample with
# it. It is then called a *transposed convolution*.

# %%
up, _ = ops.conv_transpose2d(gy, weight)
assert np.array_equal(up, gx)

# %% [markdown]
# With a stride, several input sizes lead to the same output size: 3x3 and 4x4 pixels both become 2x2 under stride 2
# and padding 1. On the way back there is a choice, and `output_size` makes it.

# %%
strided, strided_cache = ops.conv2d(x, weight, padding=1, stride=2)
strided_gx, _, _ = ops.conv2d_backward(gy, strided_cache)
up, _ = ops.conv_transpose2d(gy, weight, padding=1, stride=2, output_size=(4, 4))
print("gx with padding=1, stride=2:", strided_gx[0, 0], sep="\n")
assert np.array_equal(up, strided_gx)

# %% [markdown]
# Why "transposed"? Without its bias, a convolution is a linear map: write the 16 pixels of x as one long vector, the 4
# pixels of y as another, and the convolution is a matrix A with 4 rows and 16 columns, y = A x. Column k of A is the
# result for an image that is 1 at pixel k and 0 elsewhere. So a batch of 16 such images gives us the whole matrix. Each
# row holds the nine taps, at the places of one window.

# %%
pixels = np.eye(16).reshape(16, 1, 4, 4)
A = ops.conv2d(pixels, weight)[0].reshape(16, 4).T  # (4, 16)
print("A =", A.astype(int), sep="\n")
assert np.array_equal(A @ x.ravel() + bias, y.ravel())

# %% [markdown]
# By the chain rule, gx[k] is the sum of gy[m] * A[m, k] over all outputs m. As a matrix product: gx = A' gy, where A'
# is the transposed matrix.

# %%
assert np.array_equal(A.T @ gy.ravel(), gx.ravel())

# %% [markdown]
# Nobody stores A for a real image, because it would be huge and nearly all zeros. But transposed maps can be
# recognised without it. For every x and gy,
#
#     <A x, gy> = <x, A' gy>
#
# where <a, b> is the sum of all products a*b. On our numbers, with the bias taken off y:
#
#     <A x, gy> = 14*1 + 3*(-1) + 6*2 + 7*3 = 44
#
# And gweight fits in as well, because the map is just as linear in the weight: <weight, gweight> is the same number.

# %%
print("<A x, gy> =", ((y - bias) * gy).sum(), " <x, gx> =", (x * gx).sum(),
      " <weight, gweight> =", (weight * gweight).sum())
assert ((y - bias) * gy).sum() == (x * gx).sum() == (weight * gweight).sum() == 44

# %% [markdown]
# `check_adjoint` compares the two for random arrays. A single wrong tap, a missing row or a turned filter makes them
# differ. So it is a quick and sharp test of whether one linear function is the transposed of another.

# %%
from minifcn.testing import check_adjoint


def convolve(image):
    """(1, 1, 7, 8) -> (1, 1, 4, 3)"""
    return ops.conv2d(image, weight, padding=1, stride=(2, 3))[0]


def spread(gradient):
    """(1, 1, 4, 3) -> (1, 1, 7, 8)"""
    return ops.conv_transpose2d(gradient, weight, padding=1, stride=(2, 3), output_size=(7, 8))[0]


report = check_adjoint(convolve, spread, x_shape=(1, 1, 7, 8), y_shape=(1, 1, 4, 3))
print(report.message())
assert report.passed

# %% [markdown]
# ## 6. The gradient check
#
# Not every layer is linear, so the general check is the one that you did on x[1, 1]: move a number, look at the loss,
# compare. `check_gradients` does it for every number of the input and of all parameters. It moves each by 1e-6 up and
# down, in float64, with a random gy. In each array, the largest difference divided by the largest gradient must stay
# under 1e-6.
#
# `tie_free` makes an input whose numbers are all different and not zero. A convolution does not care. A max-pooling
# does: if two pixels are equally large, a tiny step changes the winner.
#
# The layer `Conv2d` is a thin shell around the op. It owns the weight and the bias, and it keeps the cache.

# %%
from minifcn.layers import Conv2d
from minifcn.testing import check_gradients, tie_free

layer = Conv2d(2, 3, kernel_size=(3, 2), stride=(1, 2), padding=1, rng=0, dtype=np.float64)
report = check_gradients(layer, tie_free((2, 2, 5, 6)))
print(report.message())
assert report.passed

# %% [markdown]
# In a terminal, `minifcn gradcheck Conv2d` checks the layer in many configurations, and `minifcn gradcheck` checks
# every layer of the library.
#
# ## 7. Exercise: the gradient of the weight
#
# Here is a convolution layer of your own. Its forward pass calls the op; its backward pass gets gx from the transposed
# convolution, as in section 5. What is missing is gweight. Write it: stride 1, no padding, but any number of images
# and channels. You need roughly 6 lines. Work with loops and NumPy only.
#
# Two hints. Go tap by tap: the pixels that tap (i, j) met are `x[:, :, i : i + oh, j : j + ow]`, which has the height
# and width of gy. And for one pair of channels, the tap's gradient is a sum over images, rows and columns.


# %%
def grad_weight(gy, x, kh, kw):
    """gy (N, O, OH, OW), x (N, C, H, W) -> gweight (O, C, kh, kw)."""
    raise NotImplementedError  # replace this line by your answer


# %% [markdown]
# This is the layer that uses it. `_forward` returns the output and the cache, which here is x. `_backward` gets that
# cache and gy. It adds to the gradient of the parameter and returns the gradient of the input. (`needs` says which
# gradients are wanted; we may ignore it.)

# %%
from minifcn.layers import Layer, Parameter


class Convolution(Layer):
    """x (N, 3, H, W) -> (N, 4, H - 1, W - 2): filters of 2x3, stride 1, no padding, no bias."""

    def __init__(self):
        super().__init__()
        self.weight = Parameter(tie_free((4, 3, 2, 3)))  # (O, C, KH, KW)

    def _forward(self, x):
        y, _ = ops.conv2d(x, self.weight.data)
        return y, x

    def _backward(self, x, needs, gy):
        self.weight.accumulate(grad_weight(gy, x, 2, 3))
        gx, _ = ops.conv_transpose2d(gy, self.weight.data)
        return gx


# %% [markdown]
# The next cell checks your answer: first against the library on small whole numbers, so that a mistake is easy to
# follow, then with the gradient check.


# %%
def check_exercise():
    """Print how far the answer is; True if it is right."""
    rng = np.random.default_rng(0)
    x = rng.integers(-3, 4, (2, 3, 4, 5)).astype(float)  # (N, C, H, W)
    gy = rng.integers(-3, 4, (2, 4, 3, 3)).astype(float)  # (N, O, OH, OW)
    _, cache = ops.conv2d(x, np.zeros((4, 3, 2, 3)))
    _, expected, _ = ops.conv2d_backward(gy, cache)
    try:
        got = grad_weight(gy, x, 2, 3)
    except NotImplementedError:
        got = None
    if got is None:
        print("Exercise: not solved yet. Write grad_weight in section 7 and run this again.")
        return False
    if np.shape(got) != expected.shape:
        print(f"Exercise: not right yet. Expected gweight of shape {expected.shape}, got {np.shape(got)}.")
        return False
    wrong = np.argwhere(~np.isclose(got, expected))
    if len(wrong):
        place = tuple(wrong[0].tolist())
        print(f"Exercise: not right yet. {len(wrong)} of {expected.size} numbers are wrong, the first is "
              f"gweight{list(place)}: got {got[place]:g}, expected {expected[place]:g}.")
        return False
    report = check_gradients(Convolution(), tie_free((2, 3, 5, 6)))
    print(report.message())
    if report.passed:
        print("Exercise: solved.")
    return report.passed


check_exercise()

# %% [markdown]
# The command line checks your layer too. It names the file and the class; the file is run first, as Python does with
# every import.
#
#     minifcn gradcheck tutorials/01_convolution_by_hand.py:Convolution
#
# It works for any class that has `forward` and `backward`, in any file of yours. Its input has the shape (2, 3, 5, 6)
# unless the class has an attribute `example_inputs`, a tuple of shapes.
#
# ## What to read next
#
# - `kernels/array/conv.py`: the same three passes as matrix products.
# - `minifcn/ops/conv_transpose.py`: how little a transposed convolution needs besides what you have seen.
# - `minifcn/layers/conv.py`: the layer around the op.
