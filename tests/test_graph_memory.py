"""What a Graph keeps while it runs: values until their last use, caches until they are backed out or discarded."""

import gc
import weakref

import numpy as np
import pytest

from minifcn import Graph
from minifcn.layers import Add, BatchNorm2d, Conv2d, Dropout, Layer, ReLU


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
