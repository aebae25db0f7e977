"""Image files in and out: what Pillow wrote is the oracle, and every damaged file is named."""

import errno
import os

import numpy as np
import pytest
from PIL import Image

from minifcn.data import read_image, read_label, save_image, save_label


@pytest.fixture
def rgb(rng):
    return rng.integers(0, 256, size=(5, 8, 3)).astype(np.uint8)


def test_colours_greys_and_transparency(tmp_path, rgb):
    Image.fromarray(rgb).save(tmp_path / "rgb.png")
    np.testing.assert_array_equal(read_image(tmp_path / "rgb.png"), rgb)

    grey = rgb[:, :, 0]
    for name, picture in {"grey.png": Image.fromarray(grey), "la.png": Image.fromarray(grey).convert("LA")}.items():
        picture.save(tmp_path / name)
        np.testing.assert_array_equal(read_image(tmp_path / name), np.stack([grey] * 3, axis=2))

    alpha = Image.fromarray(rgb).convert("RGBA")
    alpha.putalpha(7)
    alpha.save(tmp_path / "rgba.png")
    np.testing.assert_array_equal(read_image(tmp_path / "rgba.png"), rgb)

    Image.fromarray(grey > 127).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bits.png")[:, :, 1], np.where(grey > 127, 255, 0))


def test_a_palette_image_shows_its_colours(tmp_path):
    picture = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    picture.putpalette([1, 2, 3, 40, 50, 60, 200, 210, 220])
    picture.save(tmp_path / "p.png", transparency=bytes([255, 0, 128]))  # several transparent entries: Pillow warns
    assert read_image(tmp_path / "p.png").tolist() == [[[1, 2, 3], [40, 50, 60], [200, 210, 220]]]


def test_sixteen_bits_keep_the_upper_byte(tmp_path):
    Image.fromarray(np.array([[0, 256, 65535]], np.uint16)).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png")[0, :, 0].tolist() == [0, 1, 255]


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda a: a),
        (3, lambda a: np.rot90(a, 2)),
        (6, lambda a: np.rot90(a, -1)),
        (8, lambda a: np.rot90(a, 1)),
        (2, np.fliplr),
    ],
)
def test_exif_orientation(tmp_path, rgb, orientation, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(rgb).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), upright(rgb))


@pytest.mark.parametrize("reader", [read_image, read_label])
def test_damaged_files_are_named(tmp_path, rng, reader):
    noise = Image.fromarray(rng.integers(0, 256, size=(64, 64, 3)).astype(np.uint8))
    for name in ("cut.png", "cut.jpg"):
        noise.save(tmp_path / name)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("cut.png", "cut.jpg", "text.png", "empty.png"):
        with pytest.raises(
            ValueError, match=rf"readable image in .*{name}, got a damaged or unknown file .* save it anew"
        ):
            reader(tmp_path / name)
    with pytest.raises(ValueError, match=r"an image file at .*gone.png, got no such file"):
        reader(tmp_path / "gone.png")
    with pytest.raises(ValueError, match="got no such file"):
        reader(tmp_path)


def test_float_images_are_refused(tmp_path):
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(ValueError, match="8 or 16 bits a channel, grey or RGB, got mode F"):
        read_image(tmp_path / "f.tif")
    with pytest.raises(ValueError, match=r"one channel of class numbers, got mode F in .*f.tif"):
        read_label(tmp_path / "f.tif")


def test_labels_are_numbers_whatever_the_mode(tmp_path):
    numbers = np.array([[0, 1, 2], [3, 255, 1]], np.uint8)
    Image.fromarray(numbers).save(tmp_path / "l.png")
    Image.fromarray(numbers.astype(np.uint16)).save(tmp_path / "deep.png")
    palette = Image.fromarray(numbers)
    palette.putpalette([9] * 768)  # colours that would hide the numbers
    palette.save(tmp_path / "p.png")
    for name, has_palette in (("l.png", False), ("deep.png", False), ("p.png", True)):
        label, found = read_label(tmp_path / name)
        np.testing.assert_array_equal(label, numbers)
        assert label.dtype == np.uint8
        assert found is has_palette
    Image.fromarray(numbers > 1).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_label(tmp_path / "bits.png")[0], numbers > 1)


def test_label_errors(tmp_path, rgb):
    Image.fromarray(rgb).save(tmp_path / "rgb.png")
    with pytest.raises(ValueError, match=r"got an RGB mask in .*rgb.png. Give each class its colour in classes.txt"):
        read_label(tmp_path / "rgb.png")
    Image.fromarray(np.array([[0, 5], [300, 5]], np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match=r"0..254 or 255 \(void\), got 300 at row 1, column 0 of .*deep.png"):
        read_label(tmp_path / "deep.png")


def test_coloured_masks(tmp_path):
    colors = {(255, 0, 0): 0, (0, 0, 1): 1, (9, 9, 9): 255}
    mask = np.array([[(255, 0, 0), (9, 9, 9), (0, 0, 1)], [(0, 0, 1), (0, 0, 1), (255, 0, 0)]], np.uint8)
    Image.fromarray(mask).save(tmp_path / "m.png")
    label, has_palette = read_label(tmp_path / "m.png", colors)
    assert label.tolist() == [[0, 255, 1], [1, 1, 0]]
    assert not has_palette
    mask[1, 1] = (0, 1, 0)
    Image.fromarray(mask).save(tmp_path / "m.png")
    with pytest.raises(ValueError, match=r"got \(0, 1, 0\) at row 1, column 1 of .*m.png \(1 such pixels"):
        read_label(tmp_path / "m.png", colors)


def test_saving(tmp_path, rgb):
    save_image(tmp_path / "new" / "a.png", rgb)  # makes the folder
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "new" / "a.png")), rgb)
    save_image(tmp_path / "grey.png", rgb[:, ::2, 0])  # a view with strides
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "grey.png")), rgb[:, ::2, 0])

    label = np.array([[0, 1], [255, 1]], np.uint8)
    save_label(tmp_path / "l.png", label, np.array([[1, 2, 3], [4, 5, 6]], np.uint8), (7, 8, 9))
    with Image.open(tmp_path / "l.png") as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(np.asarray(picture), label)
        assert np.asarray(picture.convert("RGB"))[1].tolist() == [[7, 8, 9], [4, 5, 6]]


def test_what_cannot_be_saved(tmp_path, rgb):
    with pytest.raises(TypeError, match="expected uint8, got float64"):
        save_image(tmp_path / "a.png", rgb / 255)
    with pytest.raises(ValueError, match=r"\(H, W, 3\) or \(H, W\), got \(3, 5, 8\)"):
        save_image(tmp_path / "a.png", rgb.transpose(2, 0, 1))
    with pytest.raises(ValueError, match=r"a file ending such as .png or .jpg, got 'a'"):
        save_image(tmp_path / "a", rgb)
    with pytest.raises(TypeError, match=r"\(H, W\) uint8, got \(5, 8\) int64"):
        save_label(tmp_path / "a.png", rgb[:, :, 0].astype(np.int64), np.zeros((1, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_file(tmp_path, rgb, monkeypatch):
    path = tmp_path / "a.png"
    save_image(path, rgb)
    before = path.read_bytes()

    def full(handle):
        os.write(handle, b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_image(path, 255 - rgb)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


def test_an_interrupted_rename_leaves_the_old_file(tmp_path, rgb, monkeypatch):
    path = tmp_path / "a.png"
    save_image(path, rgb)

    def refuse(source, target):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):
        save_image(path, 255 - rgb)
    np.testing.assert_array_equal(read_image(path), rgb)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]
