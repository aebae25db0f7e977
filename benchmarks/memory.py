"""The peak memory of a whole training step: one child process a library, less what importing it takes.

A process of its own, because memory that a process has once had may stay with it, and because the highest point is
known for the whole process only. Two steps are made: the second one has the optimiser's memory too.

    python -m benchmarks.memory ours fcn8s 500 500 1 2      # library, network, H, W, batch, threads
"""

import gc
import json
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

from .clock import Leg

STEPS = 2
ROOT = Path(__file__).resolve().parent.parent


def peak(library: str, name: str, size: tuple[int, int], batch: int, threads: int, scale: float = 1.0) -> float:
    """MiB that two steps take at their highest point. Raises RuntimeError with what the child said if it fails."""
    arguments = [library, name, *size, batch, threads, scale]
    done = subprocess.run([sys.executable, "-m", "benchmarks.memory", *map(str, arguments)], cwd=ROOT,
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"memory: expected two steps of {library} on {name}, got: {done.stderr[-2000:]}")
    figures = json.loads(done.stdout)
    return figures["peak"] - figures["imports"]


def main(library: str, name: str, h: str, w: str, batch: str, threads: str, scale: str = "1.0") -> None:
    """In the child: prints {"imports": MiB, "peak": MiB}."""
    from minifcn import optim  # noqa: F401  what a training imports anyway
    from minifcn.kernels.cpu._threads import use_threads

    from . import networks, steps
    if library == "torch":
        from . import peers
        _finish_importing()
    else:
        import minifcn.kernels.cpu  # noqa: F401
    imports = _highest()
    factor = float(scale)
    x, labels = steps.example(int(batch), int(h), int(w), networks.CLASSES[name])
    build = partial(networks.build, name, factor)
    if library == "torch":
        with peers.use_threads(int(threads)):
            leg = steps.peer_training(build, x, labels, "default")
            _make(leg)
    else:
        with use_threads(int(threads)):
            _make(steps.our_training(build, x, labels))
    print(json.dumps({"imports": imports, "peak": _highest()}))


def _finish_importing() -> None:
    """A step on a single number: PyTorch imports some 100 MiB of itself only then."""
    import torch

    number = torch.zeros(1, requires_grad=True)
    number.sum().backward()
    torch.optim.SGD([number], lr=0.1, fused=True).step()


def _make(leg: Leg) -> None:
    gc.collect()
    for call in range(STEPS):
        leg.run(leg.before(call))


def _highest() -> float:
    """MiB of main memory that this process has had at its highest point.

    Not from getrusage, where there is another way: on Linux a child begins there with its parent's highest point.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024  # the file counts in KiB
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


if __name__ == "__main__":
    main(*sys.argv[1:])
