"""Who may import whom: down the line only, so that a reader can start at any rung and look no further up.

    cli, tutorials -> training, evaluation, prediction, explain -> models -> graph -> layers -> ops -> kernels -> numpy
"""

import ast
import re
import sys
from collections import namedtuple
from pathlib import Path

import pytest

import minifcn

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(minifcn.__file__).resolve().parent
KERNELS = Path(minifcn.kernels.__file__).resolve().parent
TUTORIALS = ROOT / "tutorials"

# A room is a module or folder right below minifcn/. It may import rooms of its own rung and of those listed before it.
RUNGS = (
    {"kernels"},
    {"arrays", "files", "policies", "settings", "recipes"},
    {"ops", "init"},
    {"layers"},
    {"graph", "wiring", "coordinates", "cutting", "enlarging", "fusion", "output_grid", "overlap_tile", "rarefaction",
     "surgery", "shapes"},
    {"models", "optim"},
    {"testing", "gradients"},
    {"data", "metrics", "trimap", "boundary", "pictures", "progress", "interrupt"},
    {"weights", "gradcheck", "caffe", "torchvision", "preprocessing"},
    {"training", "learner", "batching", "feeding", "gpu_memory", "preparation", "runs", "evaluation", "prediction",
     "published", "uncertainty", "explain"},
    {"cli", "__main__"},
    {"tutorials"},
)
RUNG = {room: height for height, rooms in enumerate(RUNGS) for room in rooms}

# Beside the line: these know nothing of networks, so that each can be read, and used, alone.
MAY_ONLY_IMPORT = {
    "init": set(),
    "optim": {"arrays", "kernels", "layers", "ops", "policies"},
    "policies": set(),
    "files": set(),
    "settings": set(),
    "recipes": set(),
    "data": {"arrays", "files"},
    "metrics": {"arrays"},
    "trimap": {"arrays", "metrics"},
    "boundary": {"arrays", "metrics"},
    "pictures": {"data"},
    "progress": {"data"},
    "interrupt": set(),
    "caffe": set(),
    "torchvision": set(),
}

# Written by hand means: from NumPy and Python alone. (CuPy comes in with the arrays; nobody else imports it.)
BY_HAND = {"kernels", "arrays", "ops", "init", "layers", "graph", "wiring", "coordinates", "cutting", "enlarging",
           "fusion", "output_grid", "overlap_tile", "rarefaction", "surgery", "shapes", "models", "optim", "policies",
           "metrics", "testing", "gradients"}
KERNELS_MAY_ADD = {"cpu": {"numba", "llvmlite", "filelock"}, "cuda": {"cupy"}}

Import = namedtuple("Import", "file line room ours target")  # target: a room if it is ours, else a package


def files():
    """Every source file of the library and the tutorials, with its room."""
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE)
        if inside.parts[0] != "kernels":  # when installed, kernels lies in there too
            yield path, inside.parts[0].removesuffix(".py")
    for path in sorted(KERNELS.rglob("*.py")):
        yield path, "kernels"
    for path in sorted(TUTORIALS.rglob("*.py")):
        yield path, "tutorials"


def dotted(path):
    """The module's full name, as its relative imports count it: minifcn.ops.conv."""
    for folder, name in ((KERNELS, "minifcn.kernels"), (PACKAGE, "minifcn"), (TUTORIALS, "tutorials")):
        if path.is_relative_to(folder):
            parts = path.relative_to(folder).with_suffix("").parts
            return [*name.split("."), *(part for part in parts if part != "__init__")]
    raise AssertionError(path)


def target_of(module, name=None):
    """(True, room) for minifcn.ROOM... and for a public name of minifcn, (False, package) for anything else."""
    top, _, rest = module.partition(".")
    if top != "minifcn":
        return False, top
    room = rest.partition(".")[0] or name or "minifcn"
    return True, minifcn._HOMES.get(room, room)


def imports_of(path, room):
    """Every import statement of a file, those inside functions included."""
    here = dotted(path)
    package = here if path.name == "__init__.py" else here[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(path, node.lineno, room, *target_of(alias.name))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(path, node.lineno, room, *target_of(module, alias.name))


def all_imports():
    return [found for path, room in files() if room != "__init__" for found in imports_of(path, room)]


def between_rooms():
    """The imports that cross from one room into another, both of which have their place."""
    return [found for found in all_imports()
            if found.ours and found.target != found.room and {found.room, found.target} <= RUNG.keys()]


def told(found):
    return f"{found.file}:{found.line} imports {found.target}"


# The reader of imports itself, since everything below trusts it.

@pytest.mark.parametrize(("statement", "ours", "target"), [
    ("from ..kernels import kernels_for", True, "kernels"),
    ("from .check import Array", True, "ops"),
    ("from . import check", True, "ops"),
    ("from .. import arrays", True, "arrays"),
    ("from .. import Graph", True, "graph"),
    ("from .. import __version__", True, "__version__"),
    ("import minifcn", True, "minifcn"),
    ("import minifcn.models.fcn", True, "models"),
    ("from minifcn.data import Street", True, "data"),
    ("from minifcn import predict", True, "prediction"),
    ("def f():\n    import numpy.linalg as la", False, "numpy"),
    ("from os.path import join", False, "os"),
    ("import kernels.array", False, "kernels"),
])
def test_imports_are_read(statement, ours, target, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    path = tmp_path / "ops" / "example.py"
    path.parent.mkdir()
    path.write_text(statement, encoding="utf-8")
    assert [found[-2:] for found in imports_of(path, "ops")] == [(ours, target)]


def test_there_is_something_to_read():
    assert {"kernels", "ops", "layers"} <= {room for _, room in files()}
    assert {"kernels", "numpy"} <= {found.target for found in all_imports()}


# The line.

@pytest.mark.parametrize("room", sorted({room for _, room in files()} - {"__init__"}))
def test_every_room_has_its_place(room):
    assert room in RUNG, f"minifcn/{room} is new: place it in RUNGS, as low as its imports allow"


def test_imports_go_down_the_line_only():
    up = [told(found) for found in between_rooms() if RUNG[found.target] > RUNG[found.room]]
    assert not up, "imports go down only: " + "; ".join(up)


def test_no_circles():
    below = {}
    for found in between_rooms():
        below.setdefault(found.room, set()).add(found.target)

    def walk(room, way):
        assert room not in way, "a circle: " + " -> ".join([*way, room])
        for target in below.get(room, ()):
            walk(target, [*way, room])

    for room in below:
        walk(room, [])


@pytest.mark.parametrize("room", MAY_ONLY_IMPORT)
def test_rooms_beside_the_line_know_nothing_of_networks(room):
    allowed = MAY_ONLY_IMPORT[room]
    wrong = [told(found) for found in between_rooms() if found.room == room and found.target not in allowed]
    assert not wrong, f"{room} may import only {sorted(allowed)}: " + "; ".join(wrong)


def test_only_the_top_imports_everything():
    """`import minifcn` reaches every room at once, which no table could follow."""
    top = ("cli", "__main__", "tutorials")
    everything = [told(found) for found in all_imports() if found.target == "minifcn" and found.room not in top]
    assert not everything, "import the room that is meant: " + "; ".join(everything)


def test_kernels_import_relatively_and_never_minifcn():
    """So the folder works wherever it lies: at the top of a checkout, inside minifcn when installed."""
    outside = [told(found) for found in all_imports() if found.room == "kernels"
               and (found.target != "kernels" if found.ours else found.target == "kernels")]
    assert not outside, "only relative imports inside kernels/: " + "; ".join(outside)
    for path, room in files():
        absolute = re.search(r"^\s*(?:from|import) minifcn", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert room != "kernels" or not absolute, f"{path} imports minifcn by name"


def test_what_is_by_hand_uses_numpy_alone():
    for found in all_imports():
        allowed = {"numpy"} | sys.stdlib_module_names
        if found.room == "kernels":
            allowed |= KERNELS_MAY_ADD.get(found.file.parent.name, set())
        if found.room in BY_HAND and not found.ours:
            assert found.target in allowed, f"{told(found)}, but {found.room} is written by hand"
