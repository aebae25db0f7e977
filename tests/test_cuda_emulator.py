"""What runs CUDA sources without a GPU: what it computes, and what it refuses, on kernels of a few lines."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from minifcn.kernels.cuda import _emulator, _gpu, _program
from minifcn.kernels.cuda._program import Program, contiguous, empty

pytestmark = pytest.mark.emulator
SOURCE = r'''
#include "common.h"

extern "C" __global__ void add(const REAL* x, REAL* y, REAL by, int count) {
    for (long long at = first_of_all(); at < count; at += all_threads()) y[at] = x[at] + by;
}
extern "C" __global__ void copy(const REAL* x, REAL* y, int count) {
    if (first_of_all() < count) y[first_of_all()] = x[first_of_all()];
}
extern "C" __global__ void in_place(REAL* x, int count, int from) {
    int at = (int)first_of_all() + from;
    if (at < count + from) x[at] = 2 * x[at];
}
extern "C" __global__ void beyond(const REAL* x, REAL* y, int count) {
    if (threadIdx.x == 0) y[0] = x[count];
}
extern "C" __global__ void places(REAL* y) {  // (blocks, blocks, blocks, threads)
    long long block = blockIdx.x + (long long)gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    y[block * blockDim.x + threadIdx.x] = threadIdx.x + 100 * blockIdx.x + 10000 * blockIdx.y + 1000000 * blockIdx.z;
}
extern "C" __global__ void shuffles(const REAL* x, const int* from, REAL* y, int by) {
    int at = (int)first_of_all(), all = (int)all_threads();
    REAL mine = at < all ? x[at] : 0;
    y[at] = __shfl_sync(0xffffffffu, mine, from[at]);
    y[all + at] = __shfl_down_sync(0xffffffffu, mine, by);
    y[2 * all + at] = __shfl_up_sync(0xffffffffu, mine, by);
    y[3 * all + at] = __shfl_xor_sync(0xffffffffu, mine, by);
}
extern "C" __global__ void count(REAL* unused, const int* number, int* sums, long long* wide, int pieces) {
    for (long long at = first_of_all(); at < pieces; at += all_threads()) {
        atomicAdd(&sums[0], number[at]);
        atomicMax(&sums[1], number[at]);
        atomicOr(&sums[2], 1 << (number[at] & 7));
        atomicAdd(wide, (long long)number[at] << 32);
        if (at == 5) unused[0] = atomicExch(&sums[3], number[at]);
    }
}
extern "C" __global__ void barrier_for_some(const REAL* x, REAL* y) {
    __shared__ REAL tile[THREADS];
    tile[threadIdx.x] = x[threadIdx.x];
    if (threadIdx.x < 40) __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x ^ 1];
}
extern "C" __global__ void two_barriers(const REAL* x, REAL* y) {
    __shared__ REAL tile[THREADS];
    tile[threadIdx.x] = x[threadIdx.x];
    if (threadIdx.x < 40)
        __syncthreads();
    else
        __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x ^ 1];
}
extern "C" __global__ void shuffle_for_some(const REAL* x, REAL* y) {
    REAL value = x[threadIdx.x];
    if (threadIdx.x % 32 < 16) value += __shfl_down_sync(0xffffffffu, value, 1);
    y[threadIdx.x] = value;
}
extern "C" __global__ void two_shuffles(const REAL* x, REAL* y) {
    REAL value = x[threadIdx.x];
    if (threadIdx.x % 2)
        value = __shfl_xor_sync(0xffffffffu, value, 1);
    else
        value = __shfl_xor_sync(0xffffffffu, value, 1);
    y[threadIdx.x] = value;
}
extern "C" __global__ void half_a_mask(const REAL* x, REAL* y) {
    y[threadIdx.x] = __shfl_xor_sync(0xffffu, x[threadIdx.x], 1);
}
extern "C" __global__ void shared_unwritten(REAL* y) {
    __shared__ REAL sum;
    __shared__ int hits;
    y[2 * blockIdx.x] = sum;
    y[2 * blockIdx.x + 1] = hits;
    __syncthreads();
    sum = 1, hits = 1;
}
extern "C" __global__ void shared_beyond(REAL* y, int at) {
    __shared__ REAL tile[8];
    __shared__ REAL next[8];
    if (threadIdx.x == 0) tile[at] = 1, next[at - 1] = 2;
    __syncthreads();
    if (threadIdx.x == 0) y[0] = tile[0] + next[0];
}
extern "C" __global__ void overflow(REAL* y, int big) { y[0] = REAL(big * 3); }
extern "C" __global__ void divided(REAL* y, int zero) { y[0] = REAL(7 / zero); }
extern "C" __global__ void four(const REAL* x, REAL* y) {
    float4 numbers = *(const float4*)x;
    y[0] = numbers.x + numbers.w;
}
extern "C" __global__ void extremes(const REAL* x, REAL* y, double wide) {
    y[0] = max(x[0], x[1]), y[1] = min(x[0], x[1]), y[2] = REAL(wide * 3);
}
'''
KERNELS = ("add", "copy", "in_place", "beyond", "places", "shuffles", "count", "barrier_for_some", "two_barriers",
           "shuffle_for_some", "two_shuffles", "half_a_mask", "shared_unwritten", "shared_beyond", "overflow",
           "divided", "four", "extremes")


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    """What is compiled for this file alone stays out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("compiled")
        patch.setattr(_emulator, "cache_folder", lambda name: folder)
        yield


def program(folder, text, **constants):
    (folder / "tried.cu").write_text(text, encoding="utf-8")
    return Program("tried", *([constants] if constants else []), folder=folder)


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    return program(tmp_path_factory.mktemp("source"), SOURCE)


X = np.arange(64, dtype=np.float32)


def test_importing_the_passes_runs_nothing():
    """Compilers and CuPy are looked for at the first launch."""
    program = """if True:
        import subprocess, sys
        subprocess.Popen = None
        import minifcn.kernels.cuda
        assert not {"cupy", "minifcn.kernels.cuda._emulator", "minifcn.kernels.cuda._gpu"} & {*sys.modules}
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


# What it computes.


def test_every_kernel_of_a_file_is_found(tried):
    assert tried.kernels == KERNELS


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("work", "size"), [(1, 1), (64, 1000), (65, 65), (1000, 1000)])
def test_all_work_is_done_with_fewer_threads_and_with_more(tried, work, size, dtype):
    x = np.arange(size, dtype=dtype)
    y = empty(x, x.shape)
    tried.run("add", work, x, y, 0.5, size)
    np.testing.assert_array_equal(y, x + dtype(0.5), strict=True)


@pytest.mark.parametrize("work", [0, (0, 3), (5, 0), (5, 2, 0)])
def test_no_work_is_no_launch(tried, work):
    y = empty(X, X.shape)
    tried.run("add", work, X, y, 1.0, 64)
    assert np.isnan(y).all()


def test_a_grid_of_three_directions(tried, monkeypatch):
    monkeypatch.setattr(_program, "MOST_BLOCKS", 3)
    y = np.full((2, 3, 3, 64), -1, np.float32)  # (z, y, x, threads): y asks for 5 blocks
    tried.run("places", (3 * 64 - 63, 5, 2), y)
    z, row, column, thread = np.indices(y.shape)
    np.testing.assert_array_equal(y, thread + 100 * column + 10000 * row + 1000000 * z)


@pytest.mark.parametrize("by", [0, 1, 5, 16, 31])
def test_shuffles_are_those_of_the_definition(tried, by, rng):
    x, source = rng.standard_normal(128).astype(np.float32), rng.integers(0, 64, 128, np.int32)
    y = empty(x, (4, 128))
    tried.run("shuffles", 128, x, source, y, by)
    expected = np.empty_like(y)
    for at in range(128):
        warp, lane = at // 32 * 32, at % 32
        expected[0, at] = x[warp + source[at] % 32]
        expected[1, at] = x[at + by] if lane + by < 32 else x[at]
        expected[2, at] = x[at - by] if lane - by >= 0 else x[at]
        expected[3, at] = x[warp + (lane ^ by)]
    np.testing.assert_array_equal(y, expected)


def test_atomics_on_integers(tried, rng):
    number, unused = rng.integers(0, 1000, 500, np.int32), np.zeros(1, np.float32)
    sums, wide = np.array([0, -1, 0, 7], np.int32), np.zeros(1, np.int64)
    tried.run("count", 200, unused, number, sums, wide, 500)
    assert sums.tolist() == [number.sum(), number.max(), np.bitwise_or.reduce(1 << (number & 7)), number[5]]
    assert wide[0] == int(number.sum()) << 32
    assert unused[0] == 7


def test_of_a_number_and_a_nan_cuda_takes_the_number(tried):
    y = np.zeros(3, np.float32)
    tried.run("extremes", 1, np.array([np.nan, 2], np.float32), y, np.float64(0.1))
    np.testing.assert_array_equal(y, np.array([2, 2, 0.1 * 3], np.float32))


def test_null_pointers_and_constants(tmp_path):
    text = 'extern "C" __global__ void null(const REAL* x, REAL* y) { *y = x ? 1 : REAL(ANSWER); }'
    made, y = program(tmp_path, text, ANSWER=42), np.zeros(1)
    made.run("null", 1, None, y, ANSWER=42)
    assert y[0] == 42
    with pytest.raises(ValueError, match=r"^tried: expected constants .*'ANSWER': 42.*, got .*: 43\}\. Declare"):
        made.run("null", 1, None, y, ANSWER=43)


def test_an_array_that_is_passed_twice_is_one(tried):
    x = X.copy()
    tried.run("add", 64, x, x, 1.0, 64)
    np.testing.assert_array_equal(x, X + 1)


def test_arrays_that_overlap_are_refused(tried):
    x = X.copy()
    with pytest.raises(ValueError, match=r"^tried: expected arrays that are the same or apart, got two that overlap"):
        tried.run("add", 32, x[:32], x[16:48], 1.0, 32)


def test_python_threads_that_launch_at_once(tried):
    results = [empty(X, X.shape) for _ in range(8)]
    work = [threading.Thread(target=tried.run, args=("add", 64, X, y, float(k), 64)) for k, y in enumerate(results)]
    for one in work:
        one.start()
    for one in work:
        one.join()
    for k, y in enumerate(results):
        np.testing.assert_array_equal(y, X + k)


def test_files_with_functions_of_one_name_stay_apart(tmp_path):
    """A dynamic linker may take the first library's function, and its shared array, for the second's too."""
    results = []
    for size in (64, 128):
        folder = tmp_path / str(size)
        folder.mkdir()
        made, y = program(folder, f'''
            template <int N> __device__ int buffer() {{ __shared__ int numbers[{size}]; return sizeof(numbers) / 4; }}
            inline __device__ int size() {{ __shared__ int numbers[{size}]; return sizeof(numbers) / 4; }}
            extern "C" __global__ void sizes(REAL* y) {{ y[0] = buffer<1>(), y[1] = size(); }}'''), np.zeros(2)
        made.run("sizes", 1, y)
        results.append(y.tolist())
    assert results == [[64, 64], [128, 128]]


# What it refuses.


@pytest.mark.parametrize(("arguments", "got"), [
    ((X, X.astype(np.float64), 1.0, 64), r"\*f4 \*f8 f4 i4"),
    ((X, X.copy(), 1, 64), r"\*f4 \*f4 i4 i4"),
    ((X, X.copy(), 1.0, np.int64(64)), r"\*f4 \*f4 f4 i8"),
    ((X, X.copy(), np.float64(1), 64), r"\*f4 \*f4 f8 i4"),
    ((X, X.astype(np.uint8), 1.0, 64), r"\*f4 \*u1 f4 i4"),
    ((X, X.copy(), None, 64), r"\*f4 \*f4 null i4"),
    ((X, np.int64(0), 1.0, 64), r"\*f4 i8 f4 i4"),
    ((X, X.copy(), 1.0), r"\*f4 \*f4 f4"),
])
def test_arguments_of_other_types(tried, arguments, got):
    with pytest.raises(TypeError, match=rf"^tried\.cu: expected .* of add to be \*f4 \*f4 f4 i4, got {got} \(\* an"):
        tried.run("add", 64, *arguments)


def test_arrays_that_are_not_contiguous(tried):
    x = np.zeros((8, 8), np.float32)
    with pytest.raises(ValueError, match=r"^tried: expected contiguous arrays, got .* \(4, 32\) .* \(8, 8\)\. The"):
        tried.run("add", 64, x.T, x, 1.0, 64)
    assert contiguous(x.T).flags.c_contiguous


def test_numbers_that_are_no_int(tried):
    with pytest.raises(OverflowError, match=r"^tried: expected numbers below 2\*\*31, got 2147483648\. Use smaller"):
        tried.run("add", 64, X, X.copy(), 1.0, 2**31)


def test_no_array_that_says_what_real_is(tried):
    with pytest.raises(TypeError, match=r"^tried: expected an array of float32 or float64 .*, got none\. A kernel"):
        tried.run("add", 64, X.astype(np.int32), 1.0)


def test_writes_outside_of_an_array(tried):
    message = r"^tried\.cu: expected {} to write inside its arrays, got writes outside of argument 1, of shape \(64,\)"
    with pytest.raises(RuntimeError, match=message.format("add")):
        tried.run("add", 64, np.zeros(65, np.float32), X.copy(), 1.0, 65)
    with pytest.raises(RuntimeError, match=message.format("copy")):  # of what lies outside of another array
        tried.run("copy", 65, X, X.copy(), 65)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("start", [-1, 1])
def test_a_number_outside_that_is_changed_in_place(tried, start, dtype):
    """It is NaN before and after, but not the same one."""
    with pytest.raises(RuntimeError, match=r"writes outside of argument 0, of shape \(64,\)"):
        tried.run("in_place", 64, X.astype(dtype), 64, start)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("at", [-1, 64])
def test_what_lies_outside_is_nan(tried, at, dtype):
    y = np.zeros(1, dtype)
    tried.run("beyond", 1, X.astype(dtype), y, at)
    assert np.isnan(y[0])


def test_a_new_array_is_full_of_nan():
    assert np.isnan(empty(X, (2, 3))).all()
    assert np.isnan(empty(X, (), np.float64)).all()
    assert (empty(X, (5,), np.int32) == -1).all()


@pytest.mark.parametrize(("kernel", "got"), [
    ("barrier_for_some", "some threads came to .*"),
    ("two_barriers", r"some threads came to a barrier in line \d+ and others did not"),
    ("shuffle_for_some", "some threads came to .*"),
    ("two_shuffles", r"some threads came to a shuffle in line \d+ and others did not"),
    ("half_a_mask", r"a shuffle in line \d+ whose mask does not name all 32 lanes"),
])
def test_threads_that_come_apart(tried, kernel, got):
    with pytest.raises(RuntimeError, match=rf"^tried\.cu: expected {kernel} to come to its end, got {got}\.$"):
        tried.run(kernel, 64, X, X.copy())
    y = empty(X, X.shape)
    tried.run("add", 64, X, y, 1.0, 64)  # and the next launch is none the worse for it
    np.testing.assert_array_equal(y, X + 1)


def test_shared_memory_begins_with_what_nobody_wrote(tried):
    y = np.zeros((3, 2), np.float32)
    tried.run("shared_unwritten", 3 * 64, y)
    assert np.isnan(y[:, 0]).all()
    assert (y[:, 1] == -1).all()


@pytest.mark.parametrize(("kernel", "argument", "got"), [
    ("shared_beyond", 8, "an index outside of an array"),
    ("shared_beyond", 0, "an index outside of an array"),  # -1 of the second
    ("overflow", 2**30, "a product that is no int"),
    ("divided", 0, "a division by zero"),
])
def test_what_cuda_leaves_undefined(tried, kernel, argument, got):
    place = next(line for line, text in enumerate(SOURCE.splitlines(), 1)
                 if text.startswith(f'extern "C" __global__ void {kernel}'))
    with pytest.raises(RuntimeError, match=rf"expected {kernel} to come to its end, got {got} in line \d+") as caught:
        tried.run(kernel, 64, np.zeros(1, np.float32), argument)
    assert 0 <= int(str(caught.value).split()[-1].rstrip(".")) - place <= 3


def test_pointers_that_are_not_aligned(tried):
    """A contiguous view may begin anywhere."""
    y = np.zeros(1, np.float32)
    tried.run("four", 1, X[4:8], y)
    assert y[0] == 4 + 7
    with pytest.raises(RuntimeError, match="got a pointer that is not aligned in line"):
        tried.run("four", 1, X[5:9], y)


def test_atomics_on_floats_do_not_compile(tmp_path):
    made = program(tmp_path, 'extern "C" __global__ void sum(REAL* y) { atomicAdd(y, REAL(1)); }')
    with pytest.raises(RuntimeError, match="add floating-point numbers in any order: sums would not repeat"):
        made.run("sum", 1, np.zeros(1))


def test_sources_that_do_not_compile(tmp_path):
    made = program(tmp_path, 'extern "C" __global__ void wrong(REAL* y) { y[0] = nothing; }')
    with pytest.raises(RuntimeError, match=r"(?s)^tried\.so: expected .* to compile it, got\n.*tried\.cu:1:.*nothing"):
        made.run("wrong", 1, np.zeros(1))


def test_sources_that_the_compiler_warns_of(tmp_path):
    made = program(tmp_path, 'extern "C" __global__ void wrong(REAL* y) { int unused; y[0] = 1; }')
    for _ in range(2):  # not only where it is compiled first
        with pytest.raises(UserWarning, match=r"(?s)^tried\.so: .* says\n.*unused variable"):
            made.run("wrong", 1, np.zeros(1))


def test_no_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    _emulator.compiler.cache_clear()
    try:
        with pytest.raises(RuntimeError, match=r"^cuda: expected g\+\+ 11 or newer .*, got no no-such-compiler\. Inst"):
            _emulator.compiler()
    finally:
        _emulator.compiler.cache_clear()


def test_an_unknown_purpose(monkeypatch):
    monkeypatch.setenv("MINIFCN_EMULATOR", "address")
    with pytest.raises(ValueError, match=r"^MINIFCN_EMULATOR: expected thread or debug, got 'address'\. Unset"):
        _emulator._purpose()


# The same launches on a GPU, as far as they can be followed without one.


@pytest.mark.parametrize(("work", "grid", "threads"), [
    (1, (1, 1, 1), 32), (33, (1, 1, 1), 64), (np.int64(1000), (4, 1, 1), 256), ((300, 100000), (2, 65535, 1), 256),
    ((32, 2, 3), (1, 2, 3), 32),
])
def test_a_launch_on_a_gpu(tried, work, grid, threads, monkeypatch):
    launched = []
    monkeypatch.setattr(_program, "_machine", lambda xp: _gpu)
    monkeypatch.setattr(_gpu, "_module", lambda program, defines: Stand(launched, defines))
    monkeypatch.setattr(_gpu, "_kernel", _gpu._kernel.__wrapped__)
    tried.run("add", work, X, None, 1.0, 64)
    assert launched == [(("-DREAL=float", f"-DTHREADS={threads}"), "add", grid, (threads, 1, 1))]


class Stand:
    """In the place of CuPy's module: it writes down what is launched."""

    def __init__(self, launched, defines):
        self.launched, self.defines = launched, defines

    def get_function(self, name):
        def kernel(grid, block, arguments):
            x, null, by, count = arguments
            assert x is X
            assert (null, null.dtype) == (0, np.intp)
            assert (by.dtype, count.dtype) == (np.float32, np.int32)
            self.launched.append((self.defines, name, grid, block))
        return kernel


@pytest.mark.parametrize("most", [32, 256])
def test_fewer_threads_than_the_most(tried, most, monkeypatch):
    asked = []
    monkeypatch.setattr(_program, "_machine", lambda xp: _gpu)
    monkeypatch.setattr(_gpu, "launch", lambda *arguments: asked.append(arguments[3]))
    tried.run("add", 10**6, X, X, 1.0, 64, threads=most)
    assert asked == [most]
