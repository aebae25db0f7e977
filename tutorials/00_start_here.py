# %% [markdown]
# # Start here
#
# *Semantic segmentation* gives each pixel of a picture a class: this one is road, that one is sky. A *fully
# convolutional network* does it in one go. A picture goes in; out come the scores of every class at every pixel, and
# each pixel takes the class with the highest score. The network learns this from pictures whose classes are known, and
# learning needs gradients. In this library every layer's gradient is written out by hand, so you can read it all.
#
# On this page you train such a network and look at what it paints. Then you open one of its layers and follow one
# number through it, forward and backward.
#
# Run it top to bottom with `python tutorials/00_start_here.py`; it takes about half a minute. Or open it as a
# notebook, cell by cell, in an editor that knows the percent format (VS Code, Spyder, PyCharm, Jupyter with jupytext).

# %%
import os
import tempfile
from pathlib import Path

import numpy as np

import minifcn
from minifcn import data

# Results go into a new temporary folder, or into the one that MINIFCN_TUTORIAL_OUT names.
OUT = Path(os.environ.get("MINIFCN_TUTORIAL_OUT") or tempfile.mkdtemp(prefix="minifcn_")) / "00_start_here"

np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## 1. The pictures
#
# `street` is built in: small street scenes, painted by a program, so that the class of every pixel is known exactly
# and nothing has to be downloaded. There are 256 scenes to train with, and 64 others for validation ("val"): the
# network never learns from them, so they show what it can do with a picture that is new to it.

# %%
SIZE = (64, 96)  # height, width: smaller than usual, to be quick
scenes = data.open_dataset("street", "val", size=SIZE)
scene = scenes[3]
print("classes:", dict(enumerate(scenes.classes)))
print("image:  ", scene.image.shape, scene.image.dtype)
print("label:  ", scene.label.shape, scene.label.dtype)
assert (len(data.open_dataset("street", "train", size=SIZE)), len(scenes)) == (256, 64)
assert scene.image.shape == (*SIZE, 3)  # red, green, blue
assert scene.label.shape == SIZE  # a class number for each pixel

# %% [markdown]
# Here is the label as text: every fourth row, every second column, one sign for each class. At the edges between
# classes some pixels are *void* (255, shown as `?`): people who label photographs leave such pixels out, and so they
# count neither in training nor in testing.

# %%
SIGNS = np.array(list(".BrpTC|" + "?" * 249))  # sky, building, road, pavement, tree, car, pole; all others are void
for row in SIGNS[scene.label[::4, ::2]]:
    print("".join(row))
assert set(np.unique(scene.label)) <= {*range(len(scenes.classes)), data.VOID}

# %% [markdown]
# ## 2. The network
#
# FCN-8s (Long, Shelhamer and Darrell, 2015) is a stack of convolutions and poolings that makes the picture 32 times
# smaller and its meaning clearer, and a way back up to the full size. We take an eighth of its channels
# (`width=0.125`) and ordinary padding (`padding="same"`), because our pictures are small.

# %%
net = minifcn.models.build("fcn8s", num_classes=len(scenes.classes), width=0.125, padding="same", rng=0)
print(minifcn.models.count_parameters(net))  # frozen are the upsamplings: they are not learned

# %% [markdown]
# Before training, the layers that make the scores hold only zeros. All scores are equal, and each pixel takes the first
# class: sky everywhere. How good is that? For each class, take the pixels that are of this class or were called so (the
# *union*), and see what share of them is both (the *intersection*). This is the class's IoU, between 0 and 1. The mean
# over the classes is the *mean IoU*, the usual score in segmentation.

# %%
untrained = minifcn.evaluate(net, scenes)
print(f"mean IoU before training: {untrained['mean_iou']:.3f}")
assert set(np.unique(minifcn.predict(net, scene.image))) == {0}
assert untrained["iou"]["road"] == 0

# %% [markdown]
# ## 3. Training
#
# `minifcn.train` builds the network that the settings describe, trains it, and leaves everything in a folder. Each
# iteration takes 4 scenes. Four times on the way the network is scored on the validation scenes, and its best state is
# kept. The seed fixes all that is random, so the same machine gives the same result each time.

# %%
settings = minifcn.Settings(data="street", size=SIZE, model="fcn8s", width=0.125, iterations=200, batch_size=4,
                            evaluations=4, seed=0, device="cpu")
result = minifcn.train(settings, out=OUT, overwrite=True)

# %% [markdown]
# This is what one of these iterations does, in the library's own words. `show_source` prints a function as it stands
# in its file.

# %%
from minifcn.explain import show_source
from minifcn.learner import Learner

show_source(Learner.train_step)

# %% [markdown]
# How good is it now, on the validation scenes?

# %%
trained = minifcn.evaluate(OUT, scenes)
print(f"{'class':10} before  after")
for name, iou in trained["iou"].items():
    print(f"{name:10}  {untrained['iou'][name]:.3f}  {iou:.3f}")
print(f"{'mean':10}  {untrained['mean_iou']:.3f}  {trained['mean_iou']:.3f}")
assert trained["mean_iou"] > 0.4 > 4 * untrained["mean_iou"]

# %% [markdown]
# A minute more takes it further: `minifcn train` in a terminal trains five times as long, on larger scenes. (All scenes
# come from the same program. A high score says that the network learns, not that it would do as well on photographs.)
#
# ## 4. Look at it
#
# Numbers are not enough. Open the picture: on the left some validation scenes, in the middle the truth, on the right
# what the network made of them.

# %%
print("the picture: ", result.folder.preview)
print("all results: ", *sorted(path.name for path in OUT.iterdir()))
assert result.folder.preview.is_file()

# %% [markdown]
# And here is what it makes of the scene in section 1, as text. Compare it with the truth there.

# %%
predicted = minifcn.predict(OUT, scene.image)  # (64, 96)
for row in SIGNS[predicted[::4, ::2]]:
    print("".join(row))

# %% [markdown]
# ## 5. Step through the network
#
# The checkpoint holds the network and everything that prediction needs. A network does not see pixels from 0 to 255,
# but numbers around 0: from each colour the mean is taken away, and the rest is scaled. `load_batch` does that, and
# brings the axes into the order (N, C, H, W): images, channels, height, width.

# %%
net, meta = minifcn.load(result.folder.best)
x, target = data.load_batch(scenes, [3], mean=meta["mean"], scale=meta["scale"])
assert x.shape == (1, 3, *SIZE)

# %% [markdown]
# A network is a list of named layers, each with the names of what it reads. `net.walk(x)` runs them one after the
# other and hands out each value as it is made. Watch the shapes. Each of five poolings halves height and width, from
# 64x96 down to 2x3. `score_fr` turns channels into class scores. Then it goes up again, and on the way the finer scores
# of pool4 and pool3 are added (`fuse_...`): they know less about what is there, but more about where.

# %%
for name, value in net.walk(x):
    print(f"{name:18} {type(net[name]).__name__:16} {value.shape}")
    if name == "pool5":
        assert value.shape == (1, 64, 2, 3)
assert value.shape == (1, 7, *SIZE)  # the last one: a score for each class at each pixel

# %% [markdown]
# Each pixel takes the class of its highest score. That, and the preparation of the picture, is all that
# `minifcn.predict` adds.

# %%
scores = net.forward(x)
assert np.mean(scores[0].argmax(axis=0) == predicted) > 0.999

# %% [markdown]
# ## 6. Step into one layer
#
# The first layer is `conv1_1`. It has 8 filters; each looks at 3x3 pixels of all three colours. We give it a patch of
# the picture, 5x6 pixels, and look at the output of its third filter.

# %%
conv = net["conv1_1"]
print(conv)
print("weight", conv.weight.data.shape, " bias", conv.bias.data.shape)

patch = x[:, :, 20:25, 30:36]  # (1, 3, 5, 6)
y = conv.forward(patch, record=True)  # (1, 8, 5, 6); record: keep what the backward pass will need
print("filter 2 on the patch:", y[0, 2], sep="\n")

# %% [markdown]
# A layer is a thin shell: it owns the weight and the bias, and leaves the arithmetic to an *op*, a plain function of
# arrays. Call the op and you get the same numbers.

# %%
from minifcn import ops

y_op, cache = ops.conv2d(patch, conv.weight.data, conv.bias.data, padding=1)
assert np.array_equal(y_op, y)

# %% [markdown]
# The op checks its arguments and leaves the loops to a *kernel*. The library has each kernel more than once: a fast
# one, and a reference in plain Python, which you can read. This is the reference.

# %%
from minifcn.kernels import reference

show_source(reference.conv2d)

# %% [markdown]
# Inside `use_kernels("reference")` everything runs on these plain loops. The numbers are the same, up to the rounding
# of the last digits, because the fast kernel adds the products in another order. This is the place for a debugger: set
# a breakpoint in the innermost line of that function, and watch one output number being made.

# %%
with minifcn.use_kernels("reference"):
    y_reference, _ = ops.conv2d(patch, conv.weight.data, conv.bias.data, padding=1)
print("the same from the reference:", y_reference[0, 2], sep="\n")
assert np.allclose(y_reference, y, rtol=1e-4, atol=1e-5)

# %% [markdown]
# ## 7. And backward
#
# The backward pass answers a question: how fast does the loss grow with each input number of the layer, and with each
# of its weights? It is given **gy**, the answer for each output number. It returns **gx**, the answer for each input
# number, and adds the answers for the weights to `weight.grad` and `bias.grad`.
#
# Ask the simplest question: a loss that is just one output number, that of filter 2 at row 2, column 3. Then gy is 1
# there and 0 elsewhere.

# %%
gy = np.zeros_like(y)
gy[0, 2, 2, 3] = 1
gx = conv.backward(gy)
print("gx, red:", gx[0, 0], "weight of filter 2, red:", conv.weight.data[2, 0], sep="\n")

# %% [markdown]
# The output number is a sum of 27 products, pixel times weight, plus the bias. So it grows with each pixel as fast as
# that pixel's weight says: gx is the filter, laid on the place that it looked at, rows 1 to 3 and columns 2 to 4. And
# it grows with each weight as fast as that weight's pixel says: the weight's gradient is the piece of the picture.

# %%
window = patch[0, :, 1:4, 2:5]  # (3, 3, 3): what the filter saw
assert np.array_equal(gx[0, :, 1:4, 2:5], conv.weight.data[2])
assert np.count_nonzero(gx) == np.count_nonzero(conv.weight.data[2])  # zero everywhere else
assert np.array_equal(conv.weight.grad[2], window)
assert np.array_equal(conv.bias.grad, [0, 0, 1, 0, 0, 0, 0, 0])

# %% [markdown]
# For all other questions there is the gradient check. It moves each number a little up and down, looks at how the
# outcome changes, and compares. It needs float64, because float32 would round such small changes away.

# %%
net.to(dtype=np.float64)
report = minifcn.check_gradients(conv, patch.astype(np.float64))
print(report.message())
assert report.passed

# %% [markdown]
# Training is this question, asked of each layer from the last to the first (`net.backward` in section 3), and then a
# small step of each weight to where the loss is smaller (`optimizer.step`).
#
# ## What to read next
#
# - `tutorials/01_convolution_by_hand.py`: the convolution and its backward pass, number by number.
# - `minifcn/models/fcn.py`: the network, as the paper has it.
# - `minifcn/graph.py`: how layers are connected, and run forward and backward.
# - `minifcn/layers/conv.py`, `minifcn/ops/conv.py`, `kernels/reference/conv.py`: one layer, from top to bottom.
# - `minifcn train --help`: longer training, other data, pictures of your own.
