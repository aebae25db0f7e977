"""Numbers next to zero cost a processor a hundred times as long, so no kernel computes with what lies about in memory.

A vector that is not full has lanes which nobody stores. Whatever they hold is multiplied all the same, and memory that
held integers, a pooling's indices for example, is full of floats below 1e-38 (denormal ones). The processor notes when
it meets one: here all memory is filled with them, and no pass on ordinary numbers may leave that note.
"""

import ctypes
import platform

import numpy as np
import pytest

from minifcn.kernels import cpu
from minifcn.kernels.cpu import memory
from minifcn.kernels.cpu._threads import use_threads
from minifcn.kernels.cuda import _examples

if platform.machine() != "x86_64" or not hasattr(ctypes.CDLL(None), "fegetenv"):
    pytest.skip("reads the note from MXCSR, by the C library of x86-64", allow_module_level=True)
LIBC = ctypes.CDLL(None)
MXCSR, DENORMAL = 7, 2  # of the environment's 32-bit words the one; of its flags the other
CONVOLUTIONS = {  # N, C, H, W, O, kernel, stride, dilation, groups
    "7x7, 24 channels": (2, 24, 20, 33, 24, 7, 1, 1, 1),
    "1x1, 11 filters": (2, 24, 18, 24, 11, 1, 1, 1, 1),
    "1x1, many pixels": (1, 64, 61, 61, 40, 1, 1, 1, 1),
    "first layer": (1, 3, 41, 57, 20, 3, 2, 1, 1),
    "3x3, dilation 2": (2, 40, 19, 21, 24, 3, 1, 2, 1),
    "3x3 for Winograd": (2, 40, 27, 31, 24, 3, 1, 1, 1),
    "few pixels, many filters": (1, 70, 3, 5, 70, 3, 1, 1, 1),
    "groups": (2, 24, 13, 15, 36, 5, 1, 1, 2),
    "depthwise": (2, 12, 13, 15, 12, 3, 1, 1, 12),
    "stride 2": (2, 33, 21, 23, 17, 3, 2, 1, 1),
    "4x4 at stride 2": (2, 21, 10, 12, 21, 4, 2, 1, 1),
    "16x16 at stride 8, few filters": (1, 5, 40, 48, 5, 16, 8, 1, 1),
}


@pytest.fixture
def littered(monkeypatch):
    """All memory that kernels are given is full of denormal numbers."""
    class Littering:
        def __getattr__(self, name):
            return getattr(np, name)

        def empty(self, shape, dtype):
            made = np.empty(shape, dtype)
            words = made.reshape(-1).view(np.uint8)
            words[: words.size // 4 * 4].view(np.int32)[:] = 12345
            return made

    memory.release()
    monkeypatch.setattr(memory, "np", Littering())
    with use_threads(1):  # this very one, whose notes are read
        yield
    memory.release()


def denormals_met(function, *arguments):
    """Whether the processor met a denormal operand, in the second call: the first may compile."""
    function(*arguments)
    environment = (ctypes.c_uint32 * 8)()
    LIBC.fegetenv(environment)
    environment[MXCSR] &= ~0x3F
    LIBC.fesetenv(environment)
    function(*arguments)
    LIBC.fegetenv(environment)
    return bool(environment[MXCSR] & DENORMAL)


def test_the_note_is_seen(littered):
    x = np.ones(40, np.float32)
    assert not denormals_met(cpu.relu_grad, x, x)
    assert denormals_met(np.multiply, np.full(40, 1e-40, np.float32), x)


@pytest.mark.parametrize("name", _examples.EXAMPLES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_pass_computes_with_what_lies_about(name, dtype, littered):
    arguments = _examples.example(name, cpu, dtype)
    assert not denormals_met(getattr(cpu, _examples.pass_of(name)), *arguments)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_no_convolution_does(name, littered, rng):
    n, c, h, w, o, k, stride, dilation, groups = CONVOLUTIONS[name]
    pad = dilation * (k - 1) // 2
    oh, ow = ((size + 2 * pad - dilation * (k - 1) - 1) // stride + 1 for size in (h, w))
    x, weight, bias, gy = (rng.standard_normal(shape).astype(np.float32) for shape in (
        (n, c, h, w), (o, c // groups, k, k), (o,), (n, o, oh, ow)))
    geometry = (stride, stride, pad, pad, dilation, dilation, groups)
    kind, data = cpu.prepare_conv2d(weight, h, w, oh, ow, *geometry)
    met = {
        "forward": denormals_met(cpu.conv2d, x, weight, bias, oh, ow, *geometry),
        "prepared": denormals_met(cpu.conv2d_prepared, x, data, kind, bias, o, k, k, oh, ow, *geometry),
        "gx": denormals_met(cpu.conv2d_grad_input, gy, weight, h, w, *geometry),
        "gweight": denormals_met(cpu.conv2d_grad_weight, gy, x, k, k, *geometry),
    }
    assert not any(met.values()), met
