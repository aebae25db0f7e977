"""What every test may rely on: a seeded generator, the thorough tests kept apart, GPU tests skipped with the reason."""

import os
import re

import numpy as np
import pytest

os.environ.setdefault("MPLBACKEND", "Agg")  # draw to files: a test machine has no screen


@pytest.fixture
def rng():
    """The same random numbers in every run, whatever ran before."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """A folder data set that trains in no time: 6 and 3 pictures of 32x48, a ground, a sky and a wall, some void."""
    from minifcn.data import save_image, save_label, voc_palette
    root, rng = tmp_path_factory.mktemp("scenes"), np.random.default_rng(0)
    colours = np.array([(60, 60, 200), (60, 200, 60), (200, 60, 60)])
    for split, count in (("train", 6), ("val", 3)):
        for number in range(count):
            label = np.zeros((32, 48), np.uint8)
            label[rng.integers(8, 24):] = 1
            label[:, : rng.integers(4, 20)] = 2
            image = np.clip(rng.normal(colours[label], 20), 0, 255).astype(np.uint8)  # (32, 48, 3)
            label[:2] = 255
            save_image(root / split / "images" / f"{number}.png", image)
            save_label(root / split / "masks" / f"{number}.png", label, voc_palette(3))
    return root


def pytest_collection_modifyitems(config, items):
    _leave_out_full(config, items)
    _skip_gpu(items)


def _leave_out_full(config, items):
    """Tests marked `full` run only if -m names the mark (`make test-full`), so that a plain `pytest` stays quick."""
    if re.search(r"\bfull\b", config.option.markexpr or ""):
        return
    thorough = [item for item in items if item.get_closest_marker("full")]
    if thorough:
        config.hook.pytest_deselected(items=thorough)
        items[:] = [item for item in items if not item.get_closest_marker("full")]


def _skip_gpu(items):
    """Tests marked `gpu` are skipped, visibly and with the reason, where no GPU computes."""
    waiting = [item for item in items if item.get_closest_marker("gpu")]
    if not waiting:
        return  # CuPy, which gpu_status imports, is slow
    from minifcn import gpu_status
    ok, reason = gpu_status()
    if not ok:
        for item in waiting:
            item.add_marker(pytest.mark.skip(reason=f"needs a GPU: {reason}"))
