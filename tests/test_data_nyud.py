"""NYUDv2 in its published layout, on tiny files made here: colours, depth, HHA, and the pipeline behind them."""

import numpy as np
import pytest
import scipy.io
from PIL import Image

import minifcn
from minifcn.data import Augmentation, Cached, Resized, channel_statistics, load_batch, open_dataset
from minifcn.graph import Graph
from minifcn.layers import Add, Conv2d

H, W = 6, 8
KINDS = {"nyud": 3, "nyud-rgbd": 4, "nyud-hha": 3, "nyud-rgb-hha": 6}


@pytest.fixture
def tiny(tmp_path, rng):
    """Two images to train, one for val, one to test; (rgb, depth, hha, numbers) by name, as in the files."""
    arrays = {}
    for folder in ("data/images", "data/depth", "data/hha", "segmentation"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("5003", "5004", "5001", "5002"):
        rgb, hha = (rng.integers(0, 256, (H, W, 3)).astype(np.uint8) for _ in range(2))
        depth = rng.integers(500, 10000, (H, W)).astype(np.uint16)
        numbers = rng.integers(0, 41, (H, W)).astype(np.uint8)
        numbers[0, :2] = (0, 40)
        for folder, array in (("images", rgb), ("depth", depth), ("hha", hha)):
            Image.fromarray(array).save(tmp_path / "data" / folder / f"img_{name}.png")
        scipy.io.savemat(tmp_path / "segmentation" / f"img_{name}.mat", {"segmentation": numbers})
        arrays[f"img_{name}"] = rgb, depth, hha, numbers
    (tmp_path / "train.txt").write_text("5003\n5004")  # the published lists have no last newline
    (tmp_path / "val.txt").write_text("5001\n")
    (tmp_path / "test.txt").write_text("5002")
    return tmp_path, arrays


def seen(kind, rgb, depth, hha):
    """What a network sees, as nyud_layers.py has it, before the mean is subtracted."""
    parts = {"rgb": rgb, "hha": hha, "depth": np.log(depth.astype(np.float32))[..., None]}
    names = {"nyud": ["rgb"], "nyud-rgbd": ["rgb", "depth"], "nyud-hha": ["hha"], "nyud-rgb-hha": ["rgb", "hha"]}[kind]
    return np.concatenate([parts[name] for name in names], axis=2)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_and_split(tiny, kind):
    root, arrays = tiny
    lengths = {"train": 2, "val": 1, "trainval": 3, "test": 1}
    for split, length in lengths.items():
        dataset = open_dataset(f"{kind}:{root}", split)
        assert len(dataset) == length
        for sample in dataset:
            rgb, depth, hha, numbers = arrays[sample.name]
            np.testing.assert_array_equal(sample.image, seen(kind, rgb, depth, hha))
            assert sample.image.dtype == (np.float32 if kind == "nyud-rgbd" else np.uint8)
            np.testing.assert_array_equal(sample.label, numbers - np.uint8(1))  # in bytes 0 - 1 is 255
            assert (sample.label[0, 0], sample.label[0, 1]) == (255, 39)
        assert dataset.channels == len(dataset.published_mean) == KINDS[kind]


def test_classes_and_means(tiny):
    mean = {kind: open_dataset(f"{kind}:{tiny[0]}").published_mean for kind in KINDS}
    assert mean["nyud"] == (92.318, 97.203, 116.190)
    assert mean["nyud-rgbd"] == (*mean["nyud"], 7.844)
    assert mean["nyud-hha"] == (132.431, 94.076, 118.477)
    assert mean["nyud-rgb-hha"] == mean["nyud"] + mean["nyud-hha"]
    classes = open_dataset(f"nyud:{tiny[0]}").classes
    assert (len(set(classes)), classes[0], classes[19], classes[39]) == (40, "wall", "floor mat", "otherprop")


def test_a_list_trainval_goes_before_the_two(tiny):
    root, _ = tiny
    (root / "trainval.txt").write_text("5001\n")
    assert [sample.name for sample in open_dataset(f"nyud:{root}", "trainval")] == ["img_5001"]


@pytest.mark.parametrize("kind", KINDS)
def test_batches_of_all_channels(tiny, kind):
    """Resized, mirrored and cropped beyond the edge, every channel goes the way that red goes."""
    root, arrays = tiny
    dataset = open_dataset(f"{kind}:{root}")
    mean = dataset.published_mean
    x, target = load_batch(dataset, [0, 1], mean=mean)
    for n, name in enumerate(("img_5003", "img_5004")):
        expected = seen(kind, *arrays[name][:3]) - np.asarray(mean)
        np.testing.assert_allclose(x[n], expected.transpose(2, 0, 1), rtol=1e-6)
    assert target.shape == (2, H, W)
    found, _ = channel_statistics(dataset)
    every = np.concatenate([sample.image.reshape(-1, dataset.channels) for sample in dataset]).astype(np.float64)
    np.testing.assert_allclose(found, every.mean(axis=0))
    np.testing.assert_allclose(channel_statistics(dataset)[1], every.std(axis=0))
    cached = Cached(Resized(dataset, (5, 7)))
    assert (cached.channels, cached.published_mean) == (dataset.channels, mean)
    augmentation = Augmentation(flip=True, scale=(0.5, 1.5), crop=(9, 9))
    for step in range(4):
        x, target = load_batch(cached, [0, 1], augmentation=augmentation, step=step, mean=mean)
        assert x.shape == (2, dataset.channels, 9, 9)
        filled = (abs(x) <= 0.5).all(axis=1)  # with the mean, rounded for bytes: 9 is more than 1.5 * 5
        assert (filled & (target == 255)).sum() >= 2 * (81 - 8 * 9)


def test_resizing_alike(tiny):
    """RGB comes out of six channels, and of four, as it does alone."""
    root, _ = tiny
    alone, four, six = (Resized(open_dataset(f"{kind}:{root}"), (4, 5))[0].image
                        for kind in ("nyud", "nyud-rgbd", "nyud-rgb-hha"))
    np.testing.assert_array_equal(six[..., :3], alone)
    np.testing.assert_allclose(four[..., :3], alone, atol=1)  # bytes are rounded in each of two passes
    np.testing.assert_array_equal(six[..., 3:], Resized(open_dataset(f"nyud-hha:{root}"), (4, 5))[0].image)


def test_a_network_of_two_inputs_is_given_half_of_the_channels_each(tiny):
    net = Graph(inputs=("color", "hha"))
    net.add("a", Conv2d(3, 40, 1, rng=0), "color")
    net.add("b", Conv2d(3, 40, 1, rng=1), "hha")
    net.add("sum", Add(), "a", "b")
    dataset = open_dataset(f"nyud-rgb-hha:{tiny[0]}")
    x, target = load_batch(dataset, range(len(dataset)))
    y = net.forward(x[:, :3], x[:, 3:], record=False)
    right = (y.argmax(axis=1) == target)[target != 255].mean()
    assert minifcn.evaluate(net, dataset)["pixel_accuracy"] == pytest.approx(right)
    with pytest.raises(ValueError, match=r"as many channels for each of the inputs color, hha, got 3 channels"):
        minifcn.evaluate(net, open_dataset(f"nyud:{tiny[0]}"))


def test_bad_depth(tiny):
    root, _ = tiny
    file = root / "data" / "depth" / "img_5002.png"
    depth = np.full((H, W), 900, np.uint16)
    depth[1, 2] = 0
    Image.fromarray(depth).save(file)
    with pytest.raises(ValueError, match=r"nyud: expected filled depth, .* got 0.0 at row 1, column 2 of .*img_5002"):
        open_dataset(f"nyud-rgbd:{root}", "test")[0]
    Image.fromarray(depth[:4]).save(file)
    depth[1, 2] = 900
    Image.fromarray(depth[:4].copy()).save(file)
    with pytest.raises(ValueError, match=r"inputs of one size, got .*images.img_5002.png 6x8, .*img_5002.png 4x8"):
        open_dataset(f"nyud-rgbd:{root}", "test")[0]
    Image.new("RGB", (W, H)).save(file)
    with pytest.raises(ValueError, match=r"read_depth: expected one channel of depths, got mode RGB in .*img_5002"):
        open_dataset(f"nyud-rgbd:{root}", "test")[0]


def test_missing_parts(tiny):
    root, _ = tiny
    (root / "data" / "hha" / "img_5002.png").unlink()
    assert len(open_dataset(f"nyud:{root}", "test")) == 1
    with pytest.raises(ValueError, match=r"nyud-hha: expected .*hha.img_5002.png, which .*test.txt lists, got no such"):
        open_dataset(f"nyud-hha:{root}", "test")
    (root / "val.txt").unlink()
    with pytest.raises(ValueError, match=r"list of samples in .*val.txt, got test.txt, train.txt in that folder. The "):
        open_dataset(f"nyud:{root}", "trainval")
