"""The kernel folders mirror each other, `reference` is written so that numba compiles it, and the switch switches."""

import importlib
import inspect
import threading
from pathlib import Path

import numba
import numpy as np
import pytest

import minifcn
from minifcn import kernels

REFERENCE, ARRAY, CPU, CUDA = (importlib.import_module(f"minifcn.kernels.{name}") for name in kernels.FOLDERS)


def files(folder):
    """The public files of a kernel folder: what begins with an underscore is its own business."""
    return {path.stem for path in Path(folder.__file__).parent.glob("*.py") if not path.name.startswith("_")}


def passes(folder, file):
    """Name -> function, of the public functions that one file defines."""
    module = importlib.import_module(f"{folder.__name__}.{file}")
    return {name: value for name, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", "") == module.__name__ and not name.startswith("_")}


def all_passes(folder):
    return {name: function for file in files(folder) for name, function in passes(folder, file).items()}


# One loop, four ways.


@pytest.mark.parametrize(("folder", "tools"), [
    (ARRAY, set()), (CPU, {"memory"}), (CUDA, {"races", "step"}),
], ids=["array", "cpu", "cuda"])
def test_the_folders_have_the_same_files_and_functions(folder, tools):
    assert files(folder) - tools == files(REFERENCE)
    for file in files(REFERENCE):
        own = {name for name in passes(REFERENCE, file) if getattr(folder, name).__module__.endswith(f".{file}")}
        assert own == passes(REFERENCE, file).keys(), file


@pytest.mark.parametrize("name", sorted(all_passes(REFERENCE)))
def test_signatures_are_equal_in_every_folder(name):
    expected = inspect.signature(getattr(REFERENCE, name))
    for folder in (ARRAY, CPU, CUDA):
        function = getattr(folder, name)
        assert inspect.signature(getattr(function, "py_func", function)) == expected, folder.__name__  # numba's wrapper
    assert all(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in expected.parameters.values())


@pytest.mark.parametrize("folder", [REFERENCE, ARRAY, CPU, CUDA], ids=kernels.FOLDERS)
def test_each_folder_exports_every_pass_and_nothing_else(folder):
    assert set(folder.__all__) == set(all_passes(REFERENCE))
    assert list(folder.__all__) == sorted(folder.__all__)
    assert all(callable(getattr(folder, name)) for name in folder.__all__)


def test_kernels_never_import_minifcn():
    """Only each other and array libraries: imports go down the line, never up."""
    for path in Path(kernels.__file__).parent.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "import minifcn" not in text, path
        assert "from minifcn" not in text, path


# The reference, compiled.

X = np.random.default_rng(0).standard_normal((2, 4, 5, 6))
WEIGHT = np.random.default_rng(1).standard_normal((6, 2, 3, 2))
GY = np.random.default_rng(2).standard_normal((2, 6, 2, 2))
STEPS = (2, 3, 1, 0, 1, 2, 2)  # sh, sw, ph, pw, dh, dw, groups
COMPILED = {
    "conv2d": (X, WEIGHT, GY[0, :, 0, 0].copy(), 2, 2, *STEPS),
    "conv2d without bias": (X, WEIGHT, None, 2, 2, *STEPS),
    "conv2d_grad_input": (GY, WEIGHT, 5, 6, *STEPS),
    "conv2d_grad_weight": (GY, X, 3, 2, *STEPS),
    "relu": (X,),
    "relu_grad": (X, X[::-1]),
    "resize_bilinear": (X, 3, 9, False),
    "resize_bilinear_grad": (X, 7, 3, True),
}


@pytest.mark.parametrize("case", COMPILED)
def test_the_reference_is_written_in_the_subset_that_numba_compiles(case):
    function = getattr(REFERENCE, case.split()[0])
    expected = function(*COMPILED[case])
    result = numba.njit(function)(*COMPILED[case])
    assert result.dtype == expected.dtype
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-13)


# Which folder runs.


def test_numpy_arrays_go_to_cpu_unless_told_otherwise(monkeypatch):
    monkeypatch.delenv("MINIFCN_KERNELS", raising=False)
    assert kernels.folder_for(X) == "cpu"
    assert kernels.kernels_for(X) is CPU
    monkeypatch.setenv("MINIFCN_KERNELS", "array")
    assert kernels.kernels_for(X) is ARRAY
    with kernels.use_kernels("reference"):  # the nearer word counts
        assert kernels.kernels_for(X) is REFERENCE
    assert kernels.kernels_for(X) is ARRAY


def test_cupy_arrays_go_to_cuda(monkeypatch):
    monkeypatch.delenv("MINIFCN_KERNELS", raising=False)
    cupy = type("Cupy", (), {"ndarray": type("ndarray", (np.ndarray,), {}), "__name__": "cupy"})()  # a stand-in
    monkeypatch.setitem(importlib.import_module("sys").modules, "cupy", cupy)
    there = X.view(cupy.ndarray)
    assert kernels.array_module(there) is cupy
    assert kernels.kernels_for(there) is CUDA
    assert kernels.array_module(X) is np


def test_blocks_nest_and_end():
    before = kernels.folder_for(X)
    with minifcn.use_kernels("reference"):
        with minifcn.use_kernels("array"):
            assert kernels.folder_for(X) == "array"
        assert kernels.folder_for(X) == "reference"
    assert kernels.folder_for(X) == before


def stop_inside_a_block():
    with minifcn.use_kernels("reference"):
        raise KeyboardInterrupt


def test_an_exception_ends_the_block_too():
    before = kernels.folder_for(X)
    with pytest.raises(KeyboardInterrupt):
        stop_inside_a_block()
    assert kernels.folder_for(X) == before


def test_another_thread_is_not_concerned():
    seen = []
    with minifcn.use_kernels("reference"):
        other = threading.Thread(target=lambda: seen.append(kernels.folder_for(X)))
        other.start()
        other.join()
    assert seen == [kernels.folder_for(X)]


def test_unknown_folders(monkeypatch):
    message = "expected one of reference, array, cpu, cuda, got 'gpu'. Choose one of these folders"
    with pytest.raises(ValueError, match=f"^use_kernels: {message}"), minifcn.use_kernels("gpu"):
        pass
    monkeypatch.setenv("MINIFCN_KERNELS", "gpu")
    with pytest.raises(ValueError, match=f"^MINIFCN_KERNELS: {message}"):
        kernels.kernels_for(X)


# Winograd, or the definition's own sums.


def test_winograd_is_allowed_unless_forbidden(monkeypatch):
    monkeypatch.delenv("MINIFCN_WINOGRAD", raising=False)
    assert kernels.winograd_allowed()
    monkeypatch.setenv("MINIFCN_WINOGRAD", "1")
    assert kernels.winograd_allowed()
    monkeypatch.setenv("MINIFCN_WINOGRAD", "0")
    assert not kernels.winograd_allowed()
    with minifcn.use_winograd(True):  # the nearer word counts
        assert kernels.winograd_allowed()
        with minifcn.use_winograd(False):
            assert not kernels.winograd_allowed()
        assert kernels.winograd_allowed()
    assert not kernels.winograd_allowed()


def stop_without_winograd():
    with minifcn.use_winograd(False):
        raise KeyboardInterrupt


def test_an_exception_ends_the_ban(monkeypatch):
    monkeypatch.delenv("MINIFCN_WINOGRAD", raising=False)
    with pytest.raises(KeyboardInterrupt):
        stop_without_winograd()
    assert kernels.winograd_allowed()


def test_words_that_neither_allow_nor_forbid_winograd(monkeypatch):
    with pytest.raises(TypeError, match=r"^use_winograd: expected True or False, got 0\. False forbids it"):
        minifcn.use_winograd(0).__enter__()
    monkeypatch.setenv("MINIFCN_WINOGRAD", "no")
    with pytest.raises(ValueError, match=r"^MINIFCN_WINOGRAD: expected 0 or 1, got 'no'\. Set it to 0 to forbid"):
        kernels.winograd_allowed()
