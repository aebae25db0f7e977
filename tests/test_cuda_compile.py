"""Every CUDA source compiles for the GPUs of today, by the compiler that CuPy uses, with the options that it is given.

NVRTC needs no GPU: it makes the machine code that one would load. Each file on disk is compiled for every set of
constants that its launchers declare.
"""

import numpy as np
import pytest

from minifcn.kernels.cuda import _examples, _gpu
from minifcn.kernels.cuda._program import FOLDER, Program, defines

nvrtc = pytest.importorskip("cuda.bindings.nvrtc", reason='needs NVRTC: pip install "minifcn[cuda-test]"')
FILES = sorted(FOLDER.glob("*.cu"))
AMPERE, HOPPER, BLACKWELL = 80, 90, 100


def compiled(program, dtype, architecture, threads=_gpu.MOST_THREADS, **constants):
    """Machine code, and all that the compiler had to say."""
    options = (*_gpu.options(defines(dtype, threads, constants)), f"-arch=sm_{architecture}")
    made = done(nvrtc.nvrtcCreateProgram(program.text.encode(), program.path.name.encode(), 0, [], []))
    error, = nvrtc.nvrtcCompileProgram(made, len(options), [option.encode() for option in options])
    log = b" " * done(nvrtc.nvrtcGetProgramLogSize(made))
    done(nvrtc.nvrtcGetProgramLog(made, log))
    code = b""
    if error == nvrtc.nvrtcResult.NVRTC_SUCCESS:
        code = b" " * done(nvrtc.nvrtcGetCUBINSize(made))
        done(nvrtc.nvrtcGetCUBIN(made, code))
    done(nvrtc.nvrtcDestroyProgram(made))
    return code, log.rstrip(b"\0").decode()


def done(answer):
    error, *value = answer
    assert error == nvrtc.nvrtcResult.NVRTC_SUCCESS, error
    return value[0] if value else None


def check(path, dtype, architecture, **threads):
    launchers = [program for program in _examples.programs() if program.path == path]
    assert launchers, f"{path.name} has no launcher"
    assert launchers[0].kernels
    sets = {tuple(sorted(constants.items())) for program in launchers for constants in program.constants}
    for constants in sorted(sets):
        code, log = compiled(launchers[0], dtype, architecture, **threads, **dict(constants))
        assert not log, f"{constants}: {log}"  # neither errors nor warnings
        for kernel in launchers[0].kernels:
            assert f"\0.text.{kernel}\0".encode() in code, f"{constants}: no machine code for {kernel}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
@pytest.mark.parametrize(("dtype", "architecture"), [
    (np.float32, AMPERE), (np.float32, HOPPER), (np.float32, BLACKWELL), (np.float64, HOPPER)])
def test_it_compiles(path, dtype, architecture):
    check(path, dtype, architecture)


@pytest.mark.full
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
@pytest.mark.parametrize("threads", [32, 64, 128, 256])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("architecture", [AMPERE, HOPPER, BLACKWELL])
def test_it_compiles_with_every_number_of_threads(path, dtype, architecture, threads):
    check(path, dtype, architecture, threads=threads)


@pytest.mark.parametrize(("text", "said"), [
    ("y[0] = nothing;", "identifier \"nothing\" is undefined"),
    ("int unused; y[0] = 1;", "was declared but never referenced"),
    ("__shared__ REAL large[50000]; y[0] = large[threadIdx.x];", "uses too much shared data"),
])
def test_what_is_wrong_is_said(tmp_path, text, said):
    (tmp_path / "wrong.cu").write_text(f'extern "C" __global__ void wrong(REAL* y) {{ {text} }}', encoding="utf-8")
    assert said in compiled(Program("wrong", folder=tmp_path), np.float32, HOPPER)[1]


def test_a_header_is_put_in_once(tmp_path):
    """CuPy hands over one text; and its name for machine code on disk is a hash of that text."""
    (tmp_path / "twice.h").write_text("#pragma once\nconstexpr int TWO = 2;\n", encoding="utf-8")
    (tmp_path / "two.cu").write_text('#include "twice.h"\n#include "common.h"\n#include "twice.h"\n'
                                     'extern "C" __global__ void two(REAL* y) { y[first_of_all()] = TWO; }\n',
                                     encoding="utf-8")
    program = Program("two", folder=tmp_path)
    assert program.text.count("TWO = 2") == 1
    assert "#include" not in program.text
    code, log = compiled(program, np.float32, HOPPER)
    assert (b"\0.text.two\0" in code, log) == (True, "")
