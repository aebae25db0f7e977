"""The GPU that is measured: where its arrays lie, its clock, and how its memory is given back.

Why events: a launch returns before the kernel has run, so this computer's clock would measure Python.

Why a copy before every turn: a short kernel takes less time than the Python behind the next one, and a GPU that waits
for work would be counted as slow. While a copy of some milliseconds runs, all calls of the turn are queued, and then
run one behind the other. It also sweeps the cache. How long a call takes with its Python is measured apart.

Why results are kept until the turn is over: given back at once, the next call would write into the same memory, which
still lies in the cache.

Both libraries queue their kernels on the null stream, so the same events time both.
"""

import gc
import math
import os
import statistics
import subprocess
import time
from typing import Any

import numpy as np

from minifcn.arrays import gpu_status, to_device

from . import peers
from .clock import Leg
from .inputs import Place, copies, normal

HOLD = 3e-3  # seconds that the copy before a turn takes
HELD_BYTES = 1 << 29  # of each of its two arrays
MATRIX = 8192  # rows and columns of the matrices whose product shows what the card can compute
REPEATS = 7
MOST_CALLS = 8  # in one turn: all their results lie in memory together
WAITING = 0.9  # a turn in which Python took this share of the time, and the device had begun before it was done
ROUNDING = ("CUPY_TF32", "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE")  # these change what float32 means


def why_not() -> str:
    """Why nothing can be measured here, "" if it can."""
    ok, reason = gpu_status()
    if not ok:
        return f"a working GPU, got: {reason}"
    import torch

    if not torch.cuda.is_available():
        return f"PyTorch to see the GPU that CuPy sees, got torch {torch.__version__}, which sees none"
    wrong = [name for name in ROUNDING if os.environ.get(name, "0") != "0"]
    if wrong:
        return f"float32 to be float32, got {wrong[0]}={os.environ[wrong[0]]} in the environment: unset it"
    return ""


class Card(Place):
    """The first visible GPU. What a test's stand-in does otherwise are the methods down to `describe`.

    Attributes:
        xp: CuPy.
        cache_bytes: of the level-2 cache, which inputs are rotated out of.
    """

    device = "cuda:0"

    def __init__(self) -> None:
        import cupy
        import torch

        self.xp: Any = cupy
        self.properties: dict[str, Any] = cupy.cuda.runtime.getDeviceProperties(0)
        self.cache_bytes = int(self.properties["l2CacheSize"])
        streams = cupy.cuda.get_current_stream().ptr, torch.cuda.current_stream().cuda_stream
        if streams != (0, 0):
            raise RuntimeError(f"benchmark: expected both libraries on the null stream, got streams {streams}. "
                               f"Unset CUPY_CUDA_PER_THREAD_DEFAULT_STREAM.")
        torch.backends.cudnn.benchmark = True  # it tries its algorithms at the first call, which is not counted
        self._start()

    def _start(self) -> None:
        """Two arrays to hold the device with, and how many copies of them take HOLD seconds."""
        numbers = HELD_BYTES // 4
        self.held = self.xp.arange(numbers, dtype=np.float32), self.xp.empty(numbers, np.float32)
        self.holds = 1
        self.hold()
        self.synchronize()
        once = statistics.median(self.timed(self.hold) for _ in range(REPEATS))
        self.holds = max(1, math.ceil(HOLD / once))

    def event(self) -> Any:
        """A moment on the device, when it gets there."""
        event = self.xp.cuda.Event()
        event.record()
        return event

    def seconds_between(self, begin: Any, end: Any) -> float:
        """Waits for `end`."""
        end.synchronize()
        return self.xp.cuda.get_elapsed_time(begin, end) / 1e3

    def synchronize(self) -> None:
        self.xp.cuda.runtime.deviceSynchronize()

    def release(self) -> None:
        """Give back the memory that both libraries keep for later, so that neither starves the other."""
        import torch

        gc.collect()
        self.xp.get_default_memory_pool().free_all_blocks()
        torch.cuda.empty_cache()

    def describe(self) -> dict[str, Any]:
        import torch

        cudnn = torch.backends.cudnn.version()
        return {
            "card": self.properties["name"].decode(), "multiprocessors": self.properties["multiProcessorCount"],
            "memory_bytes": self.properties["totalGlobalMem"], "cache_bytes": self.cache_bytes,
            "driver": _driver(), "cuda": torch.version.cuda, "cudnn": str(cudnn),
            "cuda_of_cupy": str(self.xp.cuda.runtime.runtimeGetVersion()),
        }

    # What follows from these.

    def put(self, array: np.ndarray) -> Any:
        return to_device(array, self.device)

    def several(self, rng: np.random.Generator, *shape: int) -> list[Any]:
        """Drawn once, as drawing takes longer than measuring; the others are the same numbers in other places."""
        count = copies(math.prod(shape), self.cache_bytes)
        first = self.put(normal(rng, *shape))
        return [first, *(self.xp.roll(first, 1 + 7919 * number) for number in range(1, count))]

    def hold(self) -> None:
        """Keep the device busy for HOLD seconds, and its cache full of something else."""
        x, y = self.held
        for _ in range(self.holds):
            self.xp.copyto(y, x)

    def timed(self, work: Any) -> float:
        """Seconds on the device for what `work()` queues."""
        begin = self.event()
        work()
        return self.seconds_between(begin, self.event())

    def copy_leg(self, traffic: float) -> Leg:
        """A copy that reads and writes so many bytes together: what a pass of that traffic is held to."""
        numbers = max(1, int(traffic) // 8)
        xs = [self.xp.arange(numbers, dtype=np.float32) for _ in range(copies(numbers, self.cache_bytes))]

        def run(x: Any) -> Any:
            y = self.xp.empty(numbers, np.float32)
            self.xp.copyto(y, x)
            return y

        return Leg(run, lambda call: xs[call % len(xs)])

    def limits(self) -> dict[str, float]:
        """What the card does at best: bytes of a large copy, and operations of a large matrix product, a second."""
        rng = np.random.default_rng(0)
        a = self.put(normal(rng, MATRIX, MATRIX))
        b = self.xp.roll(a, MATRIX // 2)
        x, y = peers.tensor(a), peers.tensor(b)
        operations = 2.0 * MATRIX**3 / 1e9
        peers.use_tf32(True)
        tf32 = operations / self._median(lambda: x @ y)
        peers.use_tf32(False)
        return {
            "copy_gbs": self.holds * 2 * self.held[0].nbytes / 1e9 / self._median(self.hold),
            "sgemm_gflops": operations / self._median(lambda: a @ b), "tf32_gflops": tf32,
        }

    def _median(self, work: Any) -> float:
        self.timed(work)  # not counted
        return statistics.median(self.timed(work) for _ in range(REPEATS))

    def spoil(self, like: list[tuple[tuple[int, ...], Any]]) -> None:
        """Fill with NaN the memory that arrays of these shapes and dtypes will get next: an unwritten number shows."""
        spoilt = [self.xp.empty(shape, dtype) for shape, dtype in like]
        for array in spoilt:
            if array.dtype.kind == "f":
                array.fill(np.nan)

    def wall_seconds(self, leg: Leg, calls: int) -> float:
        """Seconds of a call as a program sees it, Python included: calls one after the other, then the wait."""
        times = []
        for repeat in range(REPEATS):
            states = [leg.before(repeat * calls + index) for index in range(calls)]
            self.synchronize()
            began = time.perf_counter()
            for state in states:
                leg.run(state)
            self.synchronize()
            times.append((time.perf_counter() - began) / calls)
        return statistics.median(times)


class Stopwatch:
    """Times the turns of a row by the device's clock.

    Attributes:
        waited: for each leg whether the device had to wait for Python in its last turn: by id(leg).
    """

    def __init__(self, card: Card) -> None:
        self.card = card
        self.waited: dict[int, bool] = {}

    def __call__(self, leg: Leg, first: int, calls: int) -> float:
        """Seconds of a call on the device: see `clock.alternate`."""
        states = [leg.before(first + index) for index in range(calls)]
        self.card.hold()
        begin, began = self.card.event(), time.perf_counter()
        results = [leg.run(state) for state in states]
        queued, late = time.perf_counter() - began, begin.done
        seconds = self.card.seconds_between(begin, self.card.event())
        del results  # only now: see above
        self.waited[id(leg)] = bool(late and queued >= WAITING * seconds)
        return seconds / calls


def _driver() -> str:
    try:
        done = subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], text=True,
                              capture_output=True, check=True, timeout=30)
        return done.stdout.splitlines()[0].strip()
    except (OSError, subprocess.SubprocessError, IndexError):
        return "unknown"
