"""What `minifcn gradcheck` runs: the gradient check of every layer, and of a layer of your own.

    run()                                         # every layer, in many configurations
    run(["Conv2d", "fcn8s", "mine.py:MyLayer"])   # a layer, a whole network by samples, a class of your own

The configurations are in `cases.py`, whole networks in `network.py`, the check itself in `minifcn.testing`.
"""

import importlib.util
import inspect
import math
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..gradients.subjects import parameters_of
from ..testing import check_gradients, tie_free
from .cases import ROWS, Case

if TYPE_CHECKING:
    from ..progress import Progress

DEFAULT_SHAPE = (2, 3, 5, 6)  # (N, C, H, W) of the input to a learner's layer that does not say


@dataclass(frozen=True)
class Result:
    """One line of the table that `minifcn gradcheck` prints."""

    name: str
    configurations: int
    worst_relative_error: float  # over all tensors of all configurations; inf where one could not be compared
    passed: bool
    failure: str | None  # about the first configuration that failed: which element, got and expected


def rows() -> list[tuple[str, Callable[[], Iterable[Case]]]]:
    """(name, function that makes its cases) of every layer; a case is a layer and the tuple of its inputs."""
    return list(ROWS.items())


def run(
    names: Sequence[str] | None = None, progress: "Progress | None" = None, *, tolerance: float = 1e-6,
) -> list[Result]:
    """Check what the names say: layers, models of the registry, FILE.py:CLASS; or every layer.

    Raises ValueError for an unknown name, before anything is checked; what `check_file` raises.
    """
    checks = [_check_for(name, tolerance) for name in names or ROWS]
    results: list[Result] = []
    if progress:
        progress.start("gradcheck", len(checks))
    for check in checks:
        results.append(check())
        if progress:
            progress.update(len(results), layer=results[-1].name)
    return results


def as_dict(result: Result) -> dict[str, Any]:
    """A result as JSON wants it: an error that is no finite number is None."""
    error = result.worst_relative_error
    return vars(result) | {"worst_relative_error": error if math.isfinite(error) else None}


def _check_for(name: str, tolerance: float) -> Callable[[], Result]:
    """The check that a name stands for."""
    from ..models import MODELS

    if name in ROWS:
        return lambda: check_cases(name, ROWS[name], tolerance=tolerance)
    if name in MODELS:
        return lambda: _check_model(name, tolerance)
    if ":" in name:
        return lambda: check_file(name, tolerance=tolerance)
    raise ValueError(f"gradcheck: expected layers ({', '.join(ROWS)}), models ({', '.join(MODELS)}) or "
                     f"path/to/file.py:ClassName, got {name!r}. Choose among these.")


def _check_model(name: str, tolerance: float) -> Result:
    from .network import check_model

    report = check_model(name, tolerance=tolerance)
    return Result(name, 1, report.worst_relative_error, report.passed, None if report.passed else report.message())


def check_cases(name: str, make_cases: Callable[[], Iterable[Case]], *, tolerance: float = 1e-6) -> Result:
    """Check a layer in each of the configurations that `make_cases` makes."""
    errors: list[float] = []
    failure = None
    for layer, inputs in make_cases():
        try:
            report = check_gradients(layer, *inputs, tolerance=tolerance)
        except Exception as error:  # the layer's own code: whatever it raises is what the learner wants to see
            errors.append(math.inf)
            failure = failure or f"{layer!r} raised {type(error).__name__}: {error}{_place(error)}"
        else:
            errors.append(report.worst_relative_error)
            failure = failure or (None if report.passed else report.message())
    return Result(name, len(errors), max(errors), failure is None, failure)


def check_file(spec: str, *, tolerance: float = 1e-6) -> Result:
    """Check a class from a file of Python: `spec` is "path/to/file.py:ClassName".

    The class has forward(*xs) and backward(*gys), and a constructor that needs no arguments; it may derive from
    `minifcn.layers.Layer`. Its parameters are brought to float64. An attribute `example_inputs` of the class gives the
    inputs, as a tuple of shapes or arrays; without it there is one input of shape (2, 3, 5, 6).

    The file is run, like any program. Raises ValueError if the file or the class is missing or the file cannot be
    imported, TypeError if the class lacks forward or backward or its constructor needs arguments.
    """
    path, colon, name = spec.rpartition(":")
    if not colon or not path or not name.isidentifier():
        raise ValueError(f"gradcheck: expected path/to/file.py:ClassName, got {spec!r}. "
                         f"Name the class after a colon.")
    found = _find_class(_import_file(Path(path)), name, path)
    return check_cases(name, lambda: [_own_case(found)], tolerance=tolerance)


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ValueError(f"gradcheck: expected a Python file at {path}, got no such file. Check the path.")
    spec = importlib.util.spec_from_file_location(f"minifcn_gradcheck_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"gradcheck: expected a file that ends in .py, got {path}. Rename it.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up here
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"gradcheck: expected {path} to be importable, got {type(error).__name__}: "
                         f"{error}{_place(error)}. Run it with python first.") from error
    return module


def _find_class(module: ModuleType, name: str, path: str) -> Any:
    """The class `name`, found fit to be checked."""
    found = getattr(module, name, None)
    if not inspect.isclass(found):
        classes = [value for value in vars(module).values() if inspect.isclass(value)]
        own = [value.__name__ for value in classes if value.__module__ == module.__name__]
        raise ValueError(f"gradcheck: expected a class {name} in {path}, got none of that name. "
                         f"{'It has ' + ', '.join(own) if own else 'It has no classes at all'}.")
    missing = [method for method in ("forward", "backward") if not callable(getattr(found, method, None))]
    if missing:
        raise TypeError(f"gradcheck: expected {name} to have forward(*xs) and backward(*gys), got no "
                        f"{' and no '.join(missing)}. Write it, or derive from minifcn.layers.Layer.")
    required = [p.name for p in inspect.signature(found).parameters.values()
                if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if required:
        raise TypeError(f"gradcheck: expected a constructor of {name} that needs no arguments, got one that needs "
                        f"{', '.join(required)}. Give them default values.")
    return found


def _own_case(layer_class: Any) -> Case:
    """A learner's layer in float64, and the inputs that it asks for."""
    layer = layer_class()
    for parameter in parameters_of(layer).values():
        parameter.data = parameter.data.astype(np.float64)
    examples = getattr(layer_class, "example_inputs", DEFAULT_SHAPE)
    if all(isinstance(size, int) for size in examples):
        examples = (examples,)  # a single shape, written without the outer parentheses
    return layer, tuple(
        example if isinstance(example, np.ndarray) else tie_free(example, rng=seed)
        for seed, example in enumerate(examples)
    )


def _place(error: BaseException) -> str:
    """Where it was raised, for a message of one line. A SyntaxError says so by itself."""
    if isinstance(error, SyntaxError):
        return ""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f" (in {frame.name}, line {frame.lineno} of {Path(frame.filename).name})"
