"""Devices: what "auto", "cpu" and "cuda" mean with and without a GPU, on a stand-in for CuPy that each test breaks.

The stand-in is a module object named cupy in sys.modules, with just the calls that minifcn.arrays makes.
"""

import contextlib
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import minifcn
from minifcn import arrays


class OnGpu:
    """The stand-in's array: a NumPy array and the number of the device that it is said to be on."""

    def __init__(self, values, device):
        self.values, self.device = np.asarray(values), device
        self.dtype, self.shape = self.values.dtype, self.values.shape

    def __mul__(self, other):
        return OnGpu(self.values * other.values, self.device)

    def sum(self):
        return self.values.sum()


def make_cupy(devices=1, count_fails=None, launch_fails=None, wrong_by=0.0, driver=12080, compiler_fails=False):
    cupy = ModuleType("cupy")
    current = [0]

    def count():
        if count_fails is not None:
            raise count_fails
        return devices

    def arange(n, dtype):
        if launch_fails is not None:
            raise launch_fails
        return OnGpu(np.arange(n, dtype=dtype) + wrong_by, current[0])

    @contextlib.contextmanager
    def use_device(number):
        current[0], before = number, current[0]
        yield
        current[0] = before

    def asarray(x):
        if isinstance(x, OnGpu) and x.device == current[0]:
            return x
        return OnGpu(x.values if isinstance(x, OnGpu) else x, current[0])

    cupy.ndarray, cupy.float32, cupy.arange, cupy.asarray = OnGpu, np.float32, arange, asarray
    cupy.asnumpy = lambda x: x.values.copy()
    runtime = SimpleNamespace(getDeviceCount=count, driverGetVersion=lambda: driver, runtimeGetVersion=lambda: 12090)
    nvrtc = SimpleNamespace(getVersion=fail if compiler_fails else lambda: (12, 9))
    cupy.cuda = SimpleNamespace(runtime=runtime, nvrtc=nvrtc, Device=use_device)
    return cupy


def fail():
    raise RuntimeError("no libnvrtc.so.12\nsecond line")


@pytest.fixture(autouse=True)
def ask_anew():
    """The status is asked once a process; here every test has its own machine."""
    arrays.gpu_status.cache_clear()
    yield
    arrays.gpu_status.cache_clear()


@pytest.fixture
def no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # makes `import cupy` raise ModuleNotFoundError


@pytest.fixture
def two_gpus(monkeypatch):
    cupy = make_cupy(devices=2)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return cupy


class CUDARuntimeError(RuntimeError):
    """Named as CuPy's own."""


BROKEN = {
    "no device": (make_cupy(devices=0), "no CUDA device visible"),
    "no driver": (make_cupy(driver=0), "no NVIDIA driver"),
    "old driver": (make_cupy(driver=11040), "the driver is too old: it is for CUDA 11.4, and CuPy for 12.9; update the "
                                            "driver or install CuPy for CUDA 11"),
    "no count": (make_cupy(count_fails=CUDARuntimeError("cudaErrorNoDevice: none detected\nsecond line")),
                 "CUDARuntimeError: cudaErrorNoDevice: none detected"),
    "no compiler": (make_cupy(compiler_fails=True), "CuPy finds no NVRTC to compile with: RuntimeError: no "
                                                    "libnvrtc.so.12; the extra [ctk] of CuPy brings it"),
    "no launch": (make_cupy(launch_fails=RuntimeError("no kernel image")), "RuntimeError: no kernel image"),
    "no message": (make_cupy(launch_fails=RuntimeError()), "RuntimeError: no message"),
    "wrong sum": (make_cupy(wrong_by=1.0), "wrong result: 0 + 1 + 4 + 9 came back as 30"),
    "half-installed": (ModuleType("cupy"), "AttributeError: module 'cupy' has no attribute 'cuda'"),
}


def test_status_without_cupy(no_cupy):
    assert arrays.gpu_status() == (False, "CuPy is not installed")


@pytest.mark.parametrize("case", BROKEN)
def test_status_gives_the_reason_and_never_raises(case, monkeypatch):
    cupy, reason = BROKEN[case]
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    assert arrays.gpu_status() == (False, reason)


def test_status_survives_an_import_that_fails_badly(monkeypatch):
    def fail(name):
        raise OSError("libcuda.so: invalid ELF header")

    monkeypatch.setattr(arrays.importlib, "import_module", fail)
    assert arrays.gpu_status() == (False, "cupy not importable: OSError: libcuda.so: invalid ELF header")


def test_status_of_a_working_gpu_is_asked_once(two_gpus):
    assert arrays.gpu_status() == (True, "ok")
    two_gpus.cuda.runtime.getDeviceCount = None  # would fail now
    assert arrays.gpu_status() == (True, "ok")


def test_auto_falls_back_and_says_why(no_cupy):
    assert arrays.resolve_device("auto") == ("cpu", "running on the CPU: CuPy is not installed")


def test_auto_takes_the_gpu(two_gpus):
    assert arrays.resolve_device("auto") == ("cuda:0", "")


def test_cpu_is_quiet_and_never_asks_for_cupy(monkeypatch):
    monkeypatch.setattr(arrays, "gpu_status", None)  # calling it would raise
    assert arrays.resolve_device("cpu") == ("cpu", "")


@pytest.mark.parametrize(("spec", "device"), [("cuda", "cuda:0"), ("cuda:0", "cuda:0"), ("cuda:1", "cuda:1")])
def test_cuda_by_number(two_gpus, spec, device):
    assert arrays.resolve_device(spec) == (device, "")


@pytest.mark.parametrize("spec", ["cuda", "cuda:1"])
def test_cuda_that_cannot_be_had_raises_with_the_reason(no_cupy, spec):
    with pytest.raises(RuntimeError, match=f"expected a working GPU for '{spec}', got: CuPy is not installed.*gpu12"):
        arrays.resolve_device(spec)


def test_cuda_beyond_the_last(two_gpus):
    with pytest.raises(RuntimeError, match=r"expected a number below 2, .* got 'cuda:2'.*CUDA_VISIBLE_DEVICES"):
        arrays.resolve_device("cuda:2")


@pytest.mark.parametrize("spec", ["gpu", "cuda:", "cuda:-1", "CPU", "", "cuda:1 ", "cuda:1\n"])
def test_unknown_device(spec):
    with pytest.raises(ValueError, match="device: expected auto, cpu, cuda or cuda:<number>, got"):
        arrays.resolve_device(spec)


def test_to_cpu_keeps_the_very_array():
    x = np.arange(6.0).reshape(2, 3).T
    assert arrays.to_device(x, "cpu") is x
    assert arrays.to_numpy(x) is x


def test_to_numpy_takes_lists():
    np.testing.assert_array_equal(arrays.to_numpy([[1, 2], [3, 4]]), np.array([[1, 2], [3, 4]]))


def test_auto_without_a_gpu_keeps_the_very_array(no_cupy):
    x = np.arange(3.0)
    assert arrays.to_device(x, "auto") is x


@pytest.mark.parametrize(("device", "number"), [("auto", 0), ("cuda", 0), ("cuda:1", 1)])
def test_to_a_gpu_and_back(two_gpus, device, number):
    x = np.array([1.5, 2.5], np.float32)
    there = arrays.to_device(x, device)
    assert isinstance(there, OnGpu)
    assert there.device == number
    back = arrays.to_device(there, "cpu")
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, x)


def test_between_gpus(two_gpus):
    first = arrays.to_device(np.ones(2), "cuda:0")
    assert arrays.to_device(first, "cuda:0") is first
    assert arrays.to_device(first, "cuda:1").device == 1


def test_to_device_raises_like_resolve_device(no_cupy):
    with pytest.raises(RuntimeError, match="expected a working GPU"):
        arrays.to_device(np.ones(2), "cuda")


def test_the_array_says_its_module(two_gpus):
    assert minifcn.array_module(np.ones(2)) is np
    assert minifcn.array_module(OnGpu(np.ones(2), 0)) is two_gpus


def test_names_are_public():
    assert minifcn.gpu_status is arrays.gpu_status
    assert minifcn.use_kernels is arrays.use_kernels


def test_asking_about_arrays_imports_no_cupy():
    program = "import sys, minifcn.arrays as a; a.resolve_device('cpu'); print('cupy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.gpu
def test_a_real_gpu(rng):
    x = rng.standard_normal((2, 3)).astype(np.float32)
    there = arrays.to_device(x, "cuda")
    assert minifcn.array_module(there).__name__ == "cupy"
    np.testing.assert_array_equal(arrays.to_numpy(there), x)
