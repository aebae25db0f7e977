"""The suite's own switches, tried on a suite of three tests: a mark that silently drops tests would hide everything."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent

SUITE = """
import pytest

def test_plain(rng):
    assert rng.integers(2**32) == __import__("numpy").random.default_rng(0).integers(2**32)

@pytest.mark.full
def test_thorough():
    pass

@pytest.mark.gpu
def test_on_gpu():
    pass
"""

NO_GPU = """
import sys
sys.modules["cupy"] = None
"""


@pytest.mark.parametrize(("options", "closing"), [
    ([], "1 passed, 1 skipped, 1 deselected in"),
    (["-m", "full"], "1 passed, 2 deselected in"),
    (["-m", "full or gpu"], "1 passed, 1 skipped, 1 deselected in"),
    (["-m", "full or not full"], "2 passed, 1 skipped in"),
])
def test_marks(options, closing, tmp_path):
    shutil.copy(HERE / "conftest.py", tmp_path / "conftest.py")
    (tmp_path / "test_suite.py").write_text(SUITE + NO_GPU, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    full: x\n    gpu: x\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", "--rootdir", tmp_path]
    done = subprocess.run([*command, *options, tmp_path], capture_output=True, text=True, check=False)
    assert closing in done.stdout
    if "skipped" in closing:
        assert "needs a GPU: CuPy is not installed" in done.stdout
