"""What a Graph keeps while it runs: values until their last use, caches until they are backed out or discarded."""

import gc
import tracemalloc
import weakref

import numpy as np
import pytest

import minifcn
from minifcn import Graph
from minifcn.kernels import array
from minifcn.layers import Add, BatchNorm2d, Conv2d, Dropout, Layer, ReLU, Scale


class Through(Layer):
    """Passes everything on."""

    def _forward(self, x):
        return x + 0, None

    def _backward(self, cache, needs, gy):
        return gy


def test_values_are_freed_after_their_last_use(rng):
    """While a node runs, no value is alive that neither it nor a later node reads."""
    seen, alive = [], []

    class Watch(Through):
        def _forward(self, x):
            alive.append([ref() is not None for ref in seen])
            y = x + 1
            seen.append(weakref.ref(y))
            return y, None

    g = Graph()
    for name, source in (("a", "data"), ("b", "a"), ("c", "b"), ("d", "c"), ("e", "d")):
        g.add(name, Watch(), source)
    g.add("skip", Add(), "e", "b")
    gc.disable()  # counted references alone must do it
    try:
        y = g.forward(rng.normal(size=(1, 1, 2, 2)), record=False)
    finally:
        gc.enable()
    #                            a      b     c      d
    assert alive[4] == [False, True, False, True]  # while e runs: b is read later, d now
    assert [ref() is not None for ref in seen] == [False] * 5
    assert y.shape == (1, 1, 2, 2)


def test_a_further_output_that_nobody_reads_is_freed(rng):
    seen, alive = [], []

    class Split(Through):
        extra_outputs = ("rest",)

        def _forward(self, x):
            y, rest = x + 1, x + 2
            seen.append(weakref.ref(rest))
            return (y, rest), None

    class Look(Through):
        def _forward(self, x):
            alive.append(seen[0]() is not None)
            return x + 1, None

    g = Graph()
    g.add("split", Split(), "data")
    g.add("look", Look(), "split")
    g.forward(rng.normal(size=(1, 1, 2, 2)), record=False)
    assert alive == [False]


class Counted(Through):
    """Needs its input for the backward; notes, whenever a map is made, how many maps and gradients are alive."""

    def __init__(self, maps, gradients, alive):
        super().__init__()
        self.maps, self.gradients, self.alive = maps, gradients, alive

    def _forward(self, x):
        return self.made(x + 1, self.maps), x

    def _backward(self, x, needs, gy):
        return self.made(gy + 0 * x, self.gradients)

    def made(self, array, where):
        where.append(weakref.ref(array))
        self.alive.append(tuple(sum(ref() is not None for ref in refs) for refs in (self.maps, self.gradients)))
        return array


@pytest.mark.parametrize("nested", [False, True])
def test_a_chain_holds_two_maps_at_a_time(rng, nested):
    """What a layer reads and what it writes; in training also what lies before it, less with each layer backwards."""
    maps, gradients, alive = [], [], []
    g = chain(lambda: Counted(maps, gradients, alive))
    if nested:
        inner, g = g, Graph()
        g.add("inner", inner, "data")
    gc.disable()  # counted references alone must do it
    try:
        g.forward(rng.normal(size=(1, 1, 2, 2)), record=False)
        assert [m for m, _ in alive] == [1, 2, 2, 2, 2, 2]
        alive.clear()
        gy = np.ones_like(g.forward(rng.normal(size=(1, 1, 2, 2)), record=True))
        assert [m for m, _ in alive] == [1, 2, 3, 4, 5, 6]
        alive.clear()
        gx = g.backward(gy)
    finally:
        gc.enable()
    assert alive == [(5, 1), (4, 2), (3, 2), (2, 2), (1, 2), (0, 2)]  # the first gradient, gy, is not counted
    assert gx.shape == gy.shape


def chain(make, length=6):
    g, x = Graph(), "data"
    for number in range(length):
        x = g.add(f"layer{number}", make(), x)
    return g


def test_a_chain_of_large_maps_in_bytes():
    """The same, told by the allocator; NumPy reports to it."""
    x = np.ones((1, 8, 128, 128), np.float32)
    g = chain(lambda: Scale(2.0))
    g.forward(x, record=False)
    tracemalloc.start()
    try:
        g.forward(x, record=False)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert x.nbytes < peak < 2.1 * x.nbytes


def test_a_fused_layer_backs_out_without_the_maps_that_it_is_done_with(monkeypatch):
    """While the convolution's gradient is computed, neither the ReLU's output nor the gradient behind it is alive."""
    seen, grad_input = [], array.conv2d_grad_input

    def watched(gy, *arguments):
        seen.append([ref() is not None for ref in refs])
        return grad_input(gy, *arguments)

    monkeypatch.setattr(array, "conv2d_grad_input", watched)
    g = Graph()
    g.add("conv", Conv2d(2, 2, 3, padding=1), "data")
    g.add("relu", ReLU(), "conv")
    g.add("late", Scale(2.0), "relu")
    fused = minifcn.fuse(g)
    gc.disable()
    try:
        with minifcn.use_kernels("array"):
            y = fused.forward(np.ones((1, 2, 5, 6), np.float32))
            ((_, (relu_output,)),) = fused["relu"]._caches
            refs = [weakref.ref(relu_output)]
            del relu_output
            back_out = fused["relu"].back_out
            monkeypatch.setattr(fused["relu"], "back_out", lambda gys, needs: (
                refs.append(weakref.ref(gys[0])), back_out(gys, needs))[1])
            fused.backward(y)
    finally:
        gc.enable()
    assert seen == [[False, False]]


def test_a_forward_left_open_is_refused_until_discarded(rng):
    inner = Graph()
    inner.add("conv", Conv2d(2, 2, 1, dtype=np.float64), "data")
    g = Graph()
    g.add("norm", BatchNorm2d(2, dtype=np.float64), "data")
    g.add("inner", inner, "norm")
    x = rng.normal(size=(1, 2, 3, 4))
    g.forward(x)
    g.forward(x, record=False)  # leaves nothing behind, so it may
    with pytest.raises(RuntimeError, match=r"Graph.forward: expected every recorded forward to be backed out.*discard"):
        g.forward(x)
    g.discard()
    y = g.forward(x)
    g.backward(y)
    with pytest.raises(RuntimeError, match=r"Graph.backward: expected a recorded forward that is still open, got none"):
        g.backward(y)
    g.eval().forward(x)
    with pytest.raises(RuntimeError, match="got none"):  # evaluation does not record
        g.backward(y)
    g.forward(x, record=True)
    g.backward(y)


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_after_an_interrupt_it_can_be_used_again(rng, way):
    class Broken(Through):
        """Ctrl-C comes while it works, the first time."""

        interrupted = False

        def interrupt(self, where):
            if where == way and not self.interrupted:
                self.interrupted = True
                raise KeyboardInterrupt

        def _forward(self, x):
            self.interrupt("forward")
            return super()._forward(x)

        def _backward(self, cache, needs, gy):
            self.interrupt("backward")
            return super()._backward(cache, needs, gy)

    inner = Graph()
    inner.add("conv", Conv2d(2, 2, 1, dtype=np.float64), "data")
    inner.add("broken", Broken(), "conv")
    inner.add("drop", Dropout(0.5), "broken")
    g = Graph()
    g.add("conv", Conv2d(2, 2, 1, dtype=np.float64), "data")
    g.add("inner", inner, "conv")
    g.add("relu", ReLU(), "inner")
    x = rng.normal(size=(1, 2, 3, 4))

    def once():
        return g.backward(np.ones_like(g.forward(x)))

    with pytest.raises(KeyboardInterrupt):
        once()
    if way == "backward":  # half a forward was discarded, half a backward is for the caller to give up
        with pytest.raises(RuntimeError, match="still open"):
            once()
        g.discard()
    assert not g._has_open_caches()
    assert once().shape == x.shape
