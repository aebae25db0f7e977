"""A stand-in for CuPy where there is no GPU: its names, its rules and its refusals, with NumPy inside.

What it is for: code that would fail or be slow on CuPy fails here, and every copy between host and device is counted.

    cupy = make_cupy()              # a module object; put it into sys.modules as "cupy"
    x = cupy.asarray(np.ones(3))    # a copy to the device
    float(x.sum())                  # a copy back, for which the host waits
    cupy.stand_in.copies            # [Copy("in", (3,), 24, ...), Copy("out", (), 8, ...)]

It is as strict as CuPy 14, or stricter:

* only the names below exist, each with CuPy's own signature (a test compares them where CuPy is installed);
* an array of the host is refused wherever it meets one of the device, also as an index or an assigned value;
* arrays of another device than the current one are refused, and `Device` is current in one thread only;
* a copy on a stream of its own happens when somebody waits for it, and not a moment before: who forgets to wait sees
  the old numbers.
"""

import inspect
import sys
import threading
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

import numpy as np

GARBAGE = 171  # the byte that fills memory nobody has written to
BLOCK = 512  # CuPy's pools round every request up to a multiple of this

UFUNCS = """
    abs absolute add bitwise_and bitwise_or bitwise_xor divide equal exp expm1 floor floor_divide fmax greater
    greater_equal invert isfinite isinf isnan left_shift less less_equal log log1p logical_and logical_not
    logical_or maximum minimum mod multiply negative not_equal positive power remainder right_shift sign sqrt square
    subtract tanh true_divide
"""

# Name -> CuPy's parameters. Those that NumPy computes as they stand; the others are written out
# in `make_cupy`.
FUNCTIONS = {
    "all": "a, axis=None, out=None, keepdims=False",
    "amax": "a, axis=None, out=None, keepdims=False",
    "amin": "a, axis=None, out=None, keepdims=False",
    "any": "a, axis=None, out=None, keepdims=False",
    "argmax": "a, axis=None, dtype=None, out=None, keepdims=False",
    "broadcast_to": "array, shape",
    "clip": "a, a_min, a_max, out=None",
    "concatenate": "tup, axis=0, out=None, *, dtype=None, casting='same_kind'",
    "count_nonzero": "a, axis=None",
    "expand_dims": "a, axis",
    "max": "a, axis=None, out=None, keepdims=False",
    "mean": "a, axis=None, dtype=None, out=None, keepdims=False",
    "min": "a, axis=None, out=None, keepdims=False",
    "moveaxis": "a, source, destination",
    "outer": "a, b, out=None",
    "pad": "array, pad_width, mode='constant', **kwargs",
    "ravel": "a, order='C'",
    "reshape": "a, newshape, order='C', *, copy=None",
    "split": "ary, indices_or_sections, axis=0",
    "squeeze": "a, axis=None",
    "stack": "tup, axis=0, out=None, *, dtype=None, casting='same_kind'",
    "sum": "a, axis=None, dtype=None, out=None, keepdims=False",
    "swapaxes": "a, axis1, axis2",
    "take": "a, indices, axis=None, out=None",
    "take_along_axis": "a, indices, axis",
    "transpose": "a, axes=None",
    "where": "condition, x=None, y=None",
}
METHODS = {  # likewise, after self
    "all": "axis=None, out=None, keepdims=False",
    "any": "axis=None, out=None, keepdims=False",
    "argmax": "axis=None, out=None, dtype=None, keepdims=False",
    "clip": "min=None, max=None, out=None",
    "copy": "order='C'",
    "cumsum": "axis=None, dtype=None, out=None",
    "max": "axis=None, out=None, keepdims=False",
    "mean": "axis=None, dtype=None, out=None, keepdims=False",
    "min": "axis=None, out=None, keepdims=False",
    "prod": "axis=None, dtype=None, out=None, keepdims=None",
    "ravel": "order='C'",
    "squeeze": "axis=None",
    "sum": "axis=None, dtype=None, out=None, keepdims=False",
    "swapaxes": "axis1, axis2",
    "take": "indices, axis=None, out=None",
}
CONSTANTS = """
    bool_ dtype float16 float32 float64 inf int8 int16 int32 int64 nan newaxis pi uint8 uint16 uint32 uint64
"""


class Copy(NamedTuple):
    """One copy between host and device."""

    way: str  # "in" to the device, "out" of it
    shape: tuple
    nbytes: int
    where: str  # the innermost function outside this file


class CUDARuntimeError(RuntimeError):
    """What CuPy raises where CUDA has a complaint."""


class OutOfMemoryError(MemoryError):
    """CuPy's, with its words."""

    def __init__(self, size, total, limit=0):
        text = f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes"
        super().__init__(text + (f", limit set to: {limit:,} bytes)." if limit else ")."))
        self._size, self._total, self._limit = size, total, limit


class State(threading.local):
    """What belongs to a thread: the device that is current, and the stream."""

    device, stream = 0, None


class StandIn:
    """What a test looks at and sets.

    Attributes:
        copies: all copies so far.
        devices: how many there are.
        total: bytes of memory that each device has; more is not to be had.
        used, peak: bytes that are taken, now and at most.
        log: what happened on streams, in order.
    """

    def __init__(self, devices, total):
        self.copies, self.log, self.devices, self.total = [], [], devices, total
        self.used = self.peak = 0
        self.thread, self.lock = State(), threading.Lock()

    def count(self, way, shape, nbytes):
        frame = sys._getframe(1)
        while frame.f_code.co_filename == __file__ or "numpy" in frame.f_code.co_filename:
            frame = frame.f_back
        self.copies.append(Copy(way, tuple(shape), int(nbytes), frame.f_code.co_name))

    def ways(self, way):
        return [copy for copy in self.copies if copy.way == way]


class Memory:
    """Bytes of a device, given back when the last array in them is gone."""

    def __init__(self, gpu, nbytes):
        self.gpu, self.nbytes = gpu, -(-nbytes // BLOCK) * BLOCK
        with gpu.lock:
            if gpu.used + self.nbytes > gpu.total:
                self.nbytes, asked = 0, self.nbytes
                raise OutOfMemoryError(asked, gpu.used)
            gpu.used += self.nbytes
            gpu.peak = max(gpu.peak, gpu.used)

    def __del__(self):
        with self.gpu.lock:
            self.gpu.used -= self.nbytes


class Event:
    """A point on a stream."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self._due, self._awaited = [], False  # by the host

    def record(self, stream=None):
        self._due = list(stream._pending)

    def synchronize(self):
        self._awaited = True
        _catch_up(self._due)


def _catch_up(due):
    for work in due:
        work()


class Flags:
    def __init__(self, flags):
        self.c_contiguous, self.f_contiguous = flags.c_contiguous, flags.f_contiguous
        self.owndata = flags.owndata


def _bound(signature):
    """What sorts arguments into CuPy's parameters, and refuses those that it does not have."""
    namespace = {}
    exec(f"def parameters({signature}): pass", namespace)
    return inspect.signature(namespace["parameters"])


def make_cupy(devices=1, total=1 << 34):
    """A fresh module object with `devices` GPUs of `total` bytes each."""
    gpu = StandIn(devices, total)

    def raw(x):
        """The NumPy array in an argument. Numbers pass; what lies on the host, or on another device, does not."""
        if isinstance(x, ndarray):
            if x.device.id != gpu.thread.device:
                raise ValueError(f"The device where the array resides ({x.device.id}) is different from the current "
                                 f"device ({gpu.thread.device}).")
            return x._values
        if isinstance(x, np.ndarray):
            raise TypeError(f"Unsupported type {type(x)}")
        if isinstance(x, (tuple, list)):
            return type(x)(raw(part) for part in x)
        return x

    def on_device(values, memory=None):
        """NumPy's result as an array of the device."""
        if isinstance(values, (tuple, list)):
            return type(values)(on_device(part) for part in values)
        return ndarray._of(np.asarray(values), memory)

    def compute(function, *given, **options):
        with np.errstate(all="ignore"):  # a GPU does not warn
            values = function(*raw(given), **{name: raw(value) for name, value in options.items()})
        out = options.get("out")
        if out is not None:
            return out
        owner = next((x for x in given if isinstance(x, ndarray) and isinstance(values, np.ndarray)
                      and values.size and np.may_share_memory(values, x._values)), None)
        return on_device(values, None if owner is None else owner._memory)

    class ndarray:
        """cupy.ndarray: not one of NumPy's."""

        __slots__ = ("__weakref__", "_memory", "_values", "device")
        __array_priority__ = 100

        def __init__(self, shape, dtype=float):
            nbytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
            memory = Memory(gpu, nbytes)
            self._fill(np.full(nbytes, GARBAGE, np.uint8).view(dtype).reshape(shape), memory)

        def _fill(self, values, memory):
            self._memory = memory or Memory(gpu, values.nbytes)
            self._values, self.device = values, Device(gpu.thread.device)

        @classmethod
        def _of(cls, values, memory=None):
            self = cls.__new__(cls)
            self._fill(values, memory)
            return self

        dtype, shape, ndim, size = (property(lambda self, n=n: getattr(self._values, n))
                                    for n in ("dtype", "shape", "ndim", "size"))
        nbytes, strides, itemsize = (property(lambda self, n=n: getattr(self._values, n))
                                     for n in ("nbytes", "strides", "itemsize"))
        flags = property(lambda self: Flags(self._values.flags))
        T = property(lambda self: compute(np.transpose, self))

        @property
        def __cuda_array_interface__(self):
            return {"shape": self.shape, "typestr": self.dtype.str, "version": 3}

        # What leaves the device.

        def get(self, stream=None, order="C", out=None, blocking=True):
            raw(self)
            gpu.count("out", self.shape, self.nbytes)
            if out is not None:
                out[...] = self._values
                return out
            return np.array(self._values, order=order)

        def item(self, *args):
            return self.get().item(*args)

        def tolist(self):
            return self.get().tolist()

        def __float__(self):
            return float(self.get())

        def __int__(self):
            return int(self.get())

        def __bool__(self):
            return bool(self.get())

        def __complex__(self):
            return complex(self.get())

        def __repr__(self):
            return repr(self.get())

        __str__ = __repr__

        def __array__(self, dtype=None, copy=None):
            raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a "
                            "NumPy array explicitly.")

        def __array_ufunc__(self, ufunc, method, *inputs, **options):
            if method != "__call__" or ufunc.__name__ not in names:
                return NotImplemented
            if "out" in options:
                (options["out"],) = options["out"]
            return getattr(cupy, ufunc.__name__)(*inputs, **options)

        def __array_function__(self, function, types, args, options):
            ours = getattr(cupy, function.__name__, None) if function.__module__ == "numpy" else None
            if ours is None or not all(issubclass(kind, (ndarray, np.ndarray)) for kind in types):
                return NotImplemented
            return ours(*args, **options)

        # What stays there.

        def set(self, arr, stream=None):
            raw(self)
            if not isinstance(arr, np.ndarray):
                raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
            if (arr.shape, arr.dtype) != (self.shape, self.dtype):
                raise ValueError("Shape mismatch or dtype mismatch")
            if not self._values.flags.c_contiguous or not arr.flags.c_contiguous:
                raise RuntimeError("Cannot set to non-contiguous array")
            gpu.count("in", arr.shape, arr.nbytes)
            stream = stream or gpu.thread.stream or null
            done = []

            def copy():
                if not done:
                    self._values[...] = arr
                    done.append(True)

            if stream is null or not _pinned(arr):
                copy()  # memory that is not pinned is copied at once, while the host waits
            else:
                stream._pending.append(copy)

        def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
            if not copy and self.dtype == dtype:
                return self
            return compute(lambda values: values.astype(dtype, order=order), self)

        def view(self, dtype=None, type=None):
            return compute(lambda values: values.view(*([dtype] if dtype is not None else [])), self)

        def reshape(self, *shape, order="C", copy=None):
            return compute(lambda values: values.reshape(*shape, order=order), self)

        def transpose(self, *axes):
            return compute(lambda values: values.transpose(*axes), self)

        def fill(self, value):
            raw(self)[...] = raw(value)

        def nonzero(self):
            gpu.count("out", (), 8)  # how many there are decides the size of the result
            return compute(np.nonzero, self)

        def __copy__(self):
            return self.copy()

        def __len__(self):
            return len(self._values)

        def __iter__(self):
            return (self[k] for k in range(len(self)))

        def _index(self, index, reading):
            index = index if isinstance(index, tuple) else (index,)
            for part in index:
                if isinstance(part, (list, np.ndarray)):
                    raise TypeError(f"Unsupported type {type(part)} as an index: it would have to be copied first")
                if reading and isinstance(part, ndarray) and part.dtype == bool:
                    gpu.count("out", (), 8)  # as in nonzero
            index = raw(index)
            return index if any(part is Ellipsis for part in index) else (*index, Ellipsis)  # 0-d arrays, not numbers

        def __getitem__(self, index):
            index = self._index(index, reading=True)
            return compute(lambda values: values[index], self)

        def __setitem__(self, index, value):
            raw(self)[self._index(index, reading=False)] = raw(value)

    class PinnedMemory(bytearray):
        """Memory of the host that the device may read by itself."""

    def _pinned(arr):
        while arr is not None:
            if isinstance(arr, PinnedMemory):
                return True
            arr = getattr(arr, "base", getattr(arr, "obj", None))
        return False

    class Stream:
        def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
            self._pending, self._before = [], []

        def __enter__(self):
            self._before.append(gpu.thread.stream)
            gpu.thread.stream = self
            return self

        def __exit__(self, *_):
            gpu.thread.stream = self._before.pop()

        def record(self, event=None):
            event = event or Event()
            event.record(self)
            gpu.log.append(("record", self, event))
            return event

        def wait_event(self, event):
            gpu.log.append(("wait", self, event))
            _catch_up(event._due)

        def synchronize(self):
            _catch_up(self._pending)
            self._pending.clear()

    class Device:
        def __init__(self, device=None):
            self.id = gpu.thread.device if device is None else device
            self._before = []

        def use(self):
            if not 0 <= self.id < gpu.devices:
                raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
            gpu.thread.device = self.id

        def __enter__(self):
            self._before.append(gpu.thread.device)
            self.use()
            return self

        def __exit__(self, *_):
            gpu.thread.device = self._before.pop()

        def synchronize(self):
            pass

        mem_info = property(lambda self: (gpu.total - gpu.used, gpu.total))
        compute_capability = "90"

    null = Stream(null=True)
    Stream.null = null

    class ufunc:
        def __init__(self, name):
            self.__name__ = name

        def __call__(self, *args, out=None, dtype=None, casting="same_kind"):
            options = {"casting": casting} | ({} if dtype is None else {"dtype": dtype})
            if out is not None:
                compute(getattr(np, self.__name__), *args, out=out, **options)
                return out
            return compute(getattr(np, self.__name__), *args, **options)

        def at(self, a, indices, b=None):
            if self.__name__ != "add":
                raise NotImplementedError(f"`{self.__name__}.at` is not supported yet")
            np.add.at(raw(a), raw(indices), raw(b))

    def function(name, signature):
        parameters, real = _bound(signature), getattr(np, name)

        def call(*args, **options):
            arguments = parameters.bind(*args, **options)
            positional, named = list(arguments.args), dict(arguments.kwargs)
            if name in ("sum", "mean", "max", "min", "amax", "amin", "any", "all", "argmax", "concatenate", "stack",
                        "squeeze", "take", "count_nonzero"):  # NumPy's own order differs behind the first
                named |= {key: value for key, value in arguments.arguments.items()
                          if key not in (next(iter(parameters.parameters)), "indices") and value is not None}
                positional = positional[: 2 if name == "take" else 1]
            first = positional[0]
            if not isinstance(first, (ndarray, tuple, list)) and not (name == "where" and np.isscalar(first)):
                raise TypeError(f"{name}: expected cupy.ndarray, got {type(first)}")
            return compute(real, *positional, **named)

        call.__signature__, call.__name__ = parameters, name
        return call

    def method(name, signature):
        parameters = _bound(signature)

        def call(self, *args, **options):
            parameters.bind(*args, **options)
            return compute(lambda values, *args, **options: getattr(values, name)(*args, **options), self, *args,
                           **options)

        call.__signature__ = parameters
        return call

    for name, signature in METHODS.items():
        setattr(ndarray, name, method(name, signature))
    names = {name: ufunc(name) for name in UFUNCS.split()}

    def operator(name, symbol):
        setattr(ndarray, f"__{symbol}__", lambda self, other: names[name](self, other))
        setattr(ndarray, f"__r{symbol}__", lambda self, other: names[name](other, self))
        setattr(ndarray, f"__i{symbol}__", lambda self, other: names[name](self, other, out=self))

    for name, symbol in (("add", "add"), ("subtract", "sub"), ("multiply", "mul"), ("true_divide", "truediv"),
                         ("floor_divide", "floordiv"), ("remainder", "mod"), ("power", "pow"), ("bitwise_and", "and"),
                         ("bitwise_or", "or"), ("bitwise_xor", "xor"), ("left_shift", "lshift"),
                         ("right_shift", "rshift")):
        operator(name, symbol)
    for name, symbol in (("equal", "eq"), ("not_equal", "ne"), ("less", "lt"), ("less_equal", "le"),
                         ("greater", "gt"), ("greater_equal", "ge")):
        setattr(ndarray, f"__{symbol}__", lambda self, other, f=names[name]: f(self, other))
    ndarray.__hash__ = None
    ndarray.__neg__ = lambda self: names["negative"](self)
    ndarray.__invert__ = lambda self: names["invert"](self)
    ndarray.__abs__ = lambda self: names["absolute"](self)
    ndarray.__matmul__ = lambda self, other: matmul(self, other)

    def matmul(*args, axes=None, axis=None, keepdims=False, casting="same_kind", dtype=None, signature=None, order="K",
               out=None):
        assert out is None
        return compute(np.matmul, *args)

    def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
        if isinstance(obj, ndarray):
            if obj.device.id != gpu.thread.device:  # from one device to the other
                return ndarray._of(obj._values.astype(dtype or obj.dtype))
            same = dtype is None or obj.dtype == dtype
            if not copy and same and (order == "K" or obj.flags.c_contiguous):
                return obj
            return ndarray._of(np.array(obj._values, dtype, order=order))
        values = np.array(obj, dtype, order=order)
        if values.dtype.kind not in "biufc":
            raise ValueError(f"Unsupported dtype {values.dtype}")
        gpu.count("in", values.shape, values.nbytes)
        return ndarray._of(values)

    def asarray(a, dtype=None, order=None, *, copy=None, blocking=False):
        return array(a, dtype, copy=bool(copy), order=order or "K")

    def ascontiguousarray(a, dtype=None):
        return array(a, dtype, copy=False, order="C")

    def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
        return a.get(order=order, out=out) if isinstance(a, ndarray) else np.asarray(a)

    def empty(shape, dtype=float, order="C"):
        return ndarray(shape, dtype)

    def zeros(shape, dtype=float, order="C"):
        return ndarray._of(np.zeros(shape, dtype, order))

    def ones(shape, dtype=float, order="C"):
        return ndarray._of(np.ones(shape, dtype, order))

    def full(shape, fill_value, dtype=None, order="C"):
        return ndarray._of(np.full(shape, raw(fill_value), dtype, order))

    def zeros_like(a, dtype=None, order="K", subok=None, shape=None):
        return ndarray._of(np.zeros_like(raw(a), dtype, order, True, shape))

    def ones_like(a, dtype=None, order="K", subok=None, shape=None):
        return ndarray._of(np.ones_like(raw(a), dtype, order, True, shape))

    def arange(start, stop=None, step=1, dtype=None):
        return ndarray._of(np.arange(start, dtype=dtype) if stop is None else np.arange(start, stop, step, dtype))

    def copyto(dst, src, casting="same_kind", where=None):
        np.copyto(raw(dst), raw(src), casting, **({} if where is None else {"where": raw(where)}))

    def bincount(x, weights=None, minlength=None):
        gpu.count("out", (), 1)  # is one negative?
        gpu.count("out", (), 8)  # the largest
        return compute(lambda x, weights: np.bincount(x, weights, minlength or 0), x, weights)

    def unravel_index(indices, dims, order="C"):
        if not isinstance(indices, ndarray):
            raise TypeError("unravel_index: expected cupy.ndarray")
        return compute(lambda values: np.unravel_index(values, dims, order), indices)

    def alloc_pinned_memory(size):
        gpu.log.append(("pinned", size))
        return PinnedMemory(-(-max(size, 1) // BLOCK) * BLOCK)

    def device_count():
        return gpu.devices

    def properties(number):
        return {"name": b"Stand-in GPU", "totalGlobalMem": gpu.total, "major": 9, "minor": 0}

    cupy = ModuleType("cupy")
    written = (array, asarray, ascontiguousarray, asnumpy, empty, zeros, ones, full, zeros_like, ones_like, arange,
               copyto, bincount, unravel_index, matmul)
    vars(cupy).update(names, ndarray=ndarray, ufunc=ufunc, stand_in=gpu, __version__="14.0.0")
    vars(cupy).update({name: function(name, signature) for name, signature in FUNCTIONS.items()})
    vars(cupy).update({function.__name__: function for function in written})
    vars(cupy).update({name: getattr(np, name) for name in CONSTANTS.split()})
    cupy.get_default_memory_pool = lambda: SimpleNamespace(
        used_bytes=lambda: gpu.used, total_bytes=lambda: gpu.used, free_bytes=lambda: 0, free_all_blocks=lambda: None)
    cupy.cuda = SimpleNamespace(
        Device=Device, Stream=Stream, Event=Event, alloc_pinned_memory=alloc_pinned_memory,
        get_current_stream=lambda device_id=-1: gpu.thread.stream or null,
        memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        nvrtc=SimpleNamespace(getVersion=lambda: (12, 9)),
        runtime=SimpleNamespace(
            getDeviceCount=device_count, getDevice=lambda: gpu.thread.device, getDeviceProperties=properties,
            memGetInfo=lambda: (gpu.total - gpu.used, gpu.total), driverGetVersion=lambda: 12080,
            runtimeGetVersion=lambda: 12090, CUDARuntimeError=CUDARuntimeError),
    )
    return cupy

