"""minifcn: fully convolutional segmentation networks, every forward and backward pass written out by hand.

    import minifcn
    net = minifcn.models.build("fcn8s", num_classes=8, width=0.25, padding="same", rng=0)
    scores = net.forward(images)                 # (N, 3, H, W) -> (N, 8, H, W)
    net.backward(gradient_of_the_loss)           # fills the `grad` of each of net.parameters()

Names are looked up when they are first used, so that `import minifcn` and `minifcn --help` stay quick.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"


def _load_kernels_of_a_checkout() -> None:
    """In a source checkout the package minifcn.kernels is the folder kernels/ beside this one.

    An installed minifcn has it as minifcn/kernels and needs none of this. Only that one folder is made importable:
    putting the whole repository on `__path__` would make minifcn.setup and minifcn.tests importable too.
    """
    here = Path(__file__).resolve().parent
    folder = here.parent / "kernels"
    if (here / "kernels").is_dir() or not (folder / "__init__.py").is_file():
        return
    spec = importlib.util.spec_from_file_location(
        "minifcn.kernels", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["minifcn.kernels"] = module
    spec.loader.exec_module(module)
    sys.modules[__name__].kernels = module  # type: ignore[attr-defined]


_load_kernels_of_a_checkout()

# Public name -> the module that defines it ("" for a module of its own).
_HOMES = {
    "Graph": "graph",
    "Parameter": "layers",
    "fuse": "fusion",
    "convolutionalize": "surgery",
    "transplant": "surgery",
    "rarefy": "rarefaction",
    "array_module": "arrays",
    "use_kernels": "arrays",
    "use_winograd": "arrays",
    "gpu_status": "arrays",
    "Settings": "settings",
    "train": "training",
    "evaluate": "evaluation",
    "predict": "prediction",
    "sample_predictions": "uncertainty",
    "save": "weights",
    "load": "weights",
    "load_published": "published",
    "check_gradients": "testing",
    "check_adjoint": "testing",
    "tie_free": "testing",
}
_MODULES = ("arrays", "data", "explain", "init", "kernels", "layers", "metrics", "models", "ops", "optim", "testing")

__all__ = ["__version__", *_HOMES, *_MODULES]

if TYPE_CHECKING:
    from . import arrays, data, explain, init, kernels, layers, metrics, models, ops, optim, testing
    from .arrays import array_module, gpu_status, use_kernels, use_winograd
    from .evaluation import evaluate
    from .fusion import fuse
    from .graph import Graph
    from .layers import Parameter
    from .prediction import predict
    from .published import load_published
    from .rarefaction import rarefy
    from .settings import Settings
    from .surgery import convolutionalize, transplant
    from .testing import check_adjoint, check_gradients, tie_free
    from .training import train
    from .uncertainty import sample_predictions
    from .weights import load, save


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name in _HOMES:
        value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'minifcn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
