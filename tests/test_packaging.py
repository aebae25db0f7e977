"""What an installed minifcn is: one version, kernels under minifcn only, nothing forgotten in the wheel.

A forgotten package works in a checkout and breaks in the wheel, so these tests build one, from the sources as they
are, and compare it with the folders.
"""

import importlib
import importlib.metadata
import importlib.util
import pkgutil
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import minifcn

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("minifcn", "kernels")
needs_checkout = pytest.mark.skipif(not (ROOT / "setup.py").is_file(), reason="needs the sources, not in a checkout")


def run_python(program, cwd):
    done = subprocess.run([sys.executable, "-c", program], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def sources(root):
    """Every file below `root` that a user's import may need."""
    wanted = {".py", ".cu", ".h", ".cpp"}
    found = [path for name in PACKAGES for path in (root / name).rglob("*") if path.suffix in wanted]
    return [*found, root / "minifcn" / "py.typed"]


def installed_name(path, root):
    """Where a file of a checkout lies once it is installed: kernels/ moves into minifcn/."""
    inside = path.relative_to(root).as_posix()
    return f"minifcn/{inside}" if inside.startswith("kernels/") else inside


# One version.

def test_version_is_semantic():
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+|rc\d+)?", minifcn.__version__)


def test_version_is_the_installed_one():
    try:
        installed = importlib.metadata.version("minifcn")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("minifcn is not installed")
    assert installed == minifcn.__version__, "the install is older than the sources; install again"


@needs_checkout
def test_version_is_written_once():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'version = { attr = "minifcn.__version__" }' in project
    assert not re.search(r'^version = "', project, re.MULTILINE)
    assert minifcn.__version__ not in (ROOT / "setup.py").read_text(encoding="utf-8")
    assert f"## [{minifcn.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


# One package.

def test_every_module_imports():
    names = [info.name for info in pkgutil.walk_packages(minifcn.__path__, "minifcn.")]
    names += [info.name for info in pkgutil.walk_packages(minifcn.kernels.__path__, "minifcn.kernels.")]
    assert {"minifcn.ops.conv", "minifcn.kernels.reference.conv", "minifcn.kernels.array.conv"} <= set(names)
    for name in names:
        if not name.endswith(".__main__"):
            importlib.import_module(name)


@pytest.mark.parametrize("folder", minifcn.kernels.FOLDERS)
def test_kernels_are_in_minifcn(folder):
    module = importlib.import_module(f"minifcn.kernels.{folder}")
    assert module is getattr(minifcn.kernels, folder)
    assert module.__all__


@pytest.mark.parametrize("name", ["setup", "tests", "tutorials", "benchmarks", "docs"])
def test_the_rest_of_the_repository_is_not_in_minifcn(name):
    assert importlib.util.find_spec(f"minifcn.{name}") is None


def test_nothing_else_is_installed(tmp_path):
    """Asked from an empty folder: in the checkout's own folder any Python finds ./kernels."""
    program = """if True:
        import pathlib, sys
        from importlib.util import find_spec
        found = find_spec("minifcn")
        print(found is not None and str(pathlib.Path(found.origin).parent.parent) in sys.path)
        print(found is not None and (pathlib.Path(found.origin).parent.parent / "setup.py").is_file())
        print(*filter(find_spec, ("minifcn", "kernels", "tests", "tutorials", "benchmarks")))
    """
    on_path, in_checkout, found = run_python(program, tmp_path)
    if not found or (on_path, in_checkout) == ("True", "True"):
        pytest.skip("minifcn is not installed, at most its checkout is on the path")
    assert found == "minifcn"


@needs_checkout
def test_the_bare_checkout_works():
    """From its own folder, without an install, and however it may be installed besides."""
    program = "import minifcn; from minifcn.kernels import array; print(minifcn.__file__, array.__file__, sep='\\n')"
    assert run_python(program, ROOT) == [f"{ROOT}/minifcn/__init__.py", f"{ROOT}/kernels/array/__init__.py"]


# One wheel.

@needs_checkout
def test_setup_lists_every_folder(monkeypatch):
    setuptools = pytest.importorskip("setuptools")
    said = {}
    monkeypatch.setattr(setuptools, "setup", lambda **keywords: said.update(keywords))
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py")
    folders = {Path(installed_name(path, ROOT)).parent for path in sources(ROOT)}
    expected = sorted(".".join(folder.parts) for folder in folders)
    assert sorted(said["packages"]) == expected, "setup.py: name each folder of kernels/ in KERNELS"
    for path in sources(ROOT):
        assert (path.parent / "__init__.py").is_file(), f"{path.parent} has no __init__.py"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel straight from the checkout and the one through an sdist, built in a copy, and what they should hold."""
    setuptools = pytest.importorskip("setuptools")
    if int(setuptools.__version__.split(".")[0]) < 77:
        pytest.skip(f"needs setuptools 77, which the [test] extra brings, got {setuptools.__version__}")
    work = tmp_path_factory.mktemp("build")
    copy = work / "copy"
    copy.mkdir()
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, copy)
    for name in (*PACKAGES, "tests", "tutorials"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    with tarfile.open(build("sdist", copy, work / "sdist")) as archive:
        archive.extractall(work / "unpacked", filter="data")
    unpacked = next((work / "unpacked").iterdir())
    return {
        "expected": {installed_name(path, copy) for path in sources(copy)},
        "unpacked": unpacked,
        "wheel": build("wheel", copy, work / "direct"),
        "wheel of the sdist": build("wheel", unpacked, work / "through the sdist"),
    }


def build(kind, source, into):
    into.mkdir()
    run_python(f"from setuptools import build_meta; build_meta.build_{kind}({str(into)!r})", source)
    return next(into.iterdir())


def names_in(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


@needs_checkout
@pytest.mark.parametrize("kind", ["wheel", "wheel of the sdist"])
def test_the_wheel_holds_all_modules_and_nothing_else(built, kind):
    assert {"minifcn/py.typed", "minifcn/kernels/__init__.py", "minifcn/kernels/cuda/__init__.py"} <= built["expected"]
    assert names_in(built[kind]) == built["expected"]


@needs_checkout
def test_the_wheel_has_the_command_and_the_licence(built):
    with zipfile.ZipFile(built["wheel"]) as archive:
        texts = {Path(name).name: archive.read(name).decode() for name in archive.namelist() if ".dist-info/" in name}
    assert "minifcn = minifcn.cli:main" in texts["entry_points.txt"]
    assert f"Version: {minifcn.__version__}\n" in texts["METADATA"]
    assert texts["LICENSE"] == (ROOT / "LICENSE").read_text(encoding="utf-8")


@needs_checkout
def test_the_sdist_can_be_tested(built):
    for name in ("Makefile", "pyproject.toml", "setup.py", "LICENSE", "tests/conftest.py", "tests/test_packaging.py"):
        assert (built["unpacked"] / name).is_file(), f"{name} is missing in the sdist; see MANIFEST.in"
    assert not list(built["unpacked"].rglob("*.pyc"))
