"""Pictures are read back from the file and looked at: sizes, and colours at places worked out by hand."""

import sys

import numpy as np
import pytest
from PIL import Image, ImageFont

from minifcn import pictures
from minifcn.pictures import lettering
from minifcn.pictures.training_curves import smoothed

PALETTE = np.array([(10, 120, 240), (200, 40, 60), (250, 210, 50)], np.uint8)
CLASSES = ("sky", "car", "pole")
VOID = 255


def scene(h=20, w=30):
    """Image, truth with a void corner at the top left, prediction: all different, none of them symmetric."""
    image = np.zeros((h, w, 3), np.uint8)
    image[:, :, 0], image[:, :, 1] = 250, np.linspace(0, 200, h, dtype=np.uint8)[:, None]
    truth = np.zeros((h, w), np.uint8)
    truth[h // 2:, w // 3:] = 1
    truth[: h // 4, : w // 4] = VOID
    prediction = np.full((h, w), 2, np.uint8)
    prediction[:, w // 2:] = 1
    return image, truth, prediction


def read(path):
    with Image.open(path) as picture:
        return np.array(picture.convert("RGB"))


def has_colour(picture, colour):
    return bool((picture == colour).all(axis=-1).any())


def test_painted_mixes_by_alpha_and_leaves_void_bare():
    image = np.full((1, 3, 3), (100, 50, 201), np.uint8)
    label = np.array([[0, 255, 1]], np.uint8)
    found = pictures.painted(image, label, PALETTE, alpha=0.25)
    # 0.75 * 100 + 0.25 * 10 = 77.5 and so on, rounded half to even
    assert found.tolist() == [[[78, 68, 211], [100, 50, 201], [125, 48, 166]]]
    assert found.dtype == np.uint8
    assert np.array_equal(pictures.painted(image, label, PALETTE, alpha=0), image)
    assert pictures.painted(image, label, PALETTE, alpha=1)[0, 2].tolist() == [200, 40, 60]
    with pytest.raises(ValueError, match=r"alpha between 0 \(image only\) and 1 .* got 1.5"):
        pictures.painted(image, label, PALETTE, alpha=1.5)
    with pytest.raises(ValueError, match=r"image of the label's size \(1, 2, 3\), got \(1, 3, 3\)"):
        pictures.painted(image, label[:, :2], PALETTE)


def test_preview_shows_image_truth_and_prediction_side_by_side(tmp_path):
    path = tmp_path / "preview.png"
    pictures.preview(path, [scene(), scene()], CLASSES, PALETTE)
    assert [p.name for p in tmp_path.iterdir()] == ["preview.png"]  # nothing temporary is left
    shown = read(path)
    factor = 12  # 30 pixels, three times, make 1000 with a factor of 11.1
    width, height = 30 * factor, 20 * factor
    pen = round(0.06 * width)
    margin, gap, head = round(1.5 * pen), round(0.6 * pen), round(1.7 * pen)
    assert shown.shape[1] == 3 * width + 2 * gap + 2 * margin
    assert shown.shape[1] >= 1000
    for row in range(2):
        top = margin + head + row * (height + gap)
        lefts = [margin + column * (width + gap) for column in range(3)]
        image, truth, prediction = (shown[top:top + height, left:left + width] for left in lefts)
        assert (image[..., 0] > 240).all()  # smooth, so not exactly 250 everywhere
        assert (np.diff(image[:, 5, 1].astype(int)) >= 0).all()
        # Labels: every pixel of the label is a block of factor x factor pixels of one colour.
        _, label, guess = scene()
        blocks = np.kron(label, np.ones((factor, factor), np.uint8))
        assert np.array_equal(truth[blocks != VOID], PALETTE[blocks[blocks != VOID]])
        assert np.array_equal(prediction, PALETTE[np.kron(guess, np.ones((factor, factor), np.uint8))])
        void = truth[blocks == VOID]
        assert void.max() < 90  # dark, and in two shades: striped
        assert len(np.unique(void, axis=0)) == 2
        assert (shown[top - 1, margin:-margin] > 200).all()  # white between the lines
        assert (shown[top:top + height, lefts[0] + width:lefts[1]] == 255).all()
    legend = shown[margin + head + 2 * (height + gap):]
    assert all(has_colour(legend, colour) for colour in [*PALETTE, *pictures.HATCH])
    assert has_colour(legend, lettering.INK)
    assert (shown[:, :margin] == 255).all()
    assert (shown[:, -margin:] == 255).all()
    assert (shown[-margin:] == 255).all()
    assert not has_colour(shown, lettering.MUTED)


def test_preview_without_void_has_no_void_in_its_legend_and_a_caption_if_asked(tmp_path):
    image, truth, prediction = scene()
    truth[truth == VOID] = 0
    pictures.preview(tmp_path / "a.png", [(image, truth, prediction)], CLASSES, PALETTE, mean_iou=0.834)
    shown = read(tmp_path / "a.png")
    assert not has_colour(shown, pictures.HATCH[0])
    assert has_colour(shown[: shown.shape[0] // 4, shown.shape[1] // 2:], lettering.MUTED)


@pytest.mark.parametrize(("w", "panel"), [(400, 400), (200, 400), (334, 334), (333, 666), (1500, 800)])
def test_preview_enlarges_by_whole_factors_and_cuts_down_the_huge(tmp_path, w, panel):
    pictures.preview(tmp_path / "a.png", [scene(30, w)], CLASSES, PALETTE)
    pen = round(0.06 * panel)
    assert read(tmp_path / "a.png").shape[1] == 3 * panel + 2 * round(0.6 * pen) + 2 * round(1.5 * pen)


def test_preview_of_images_of_several_sizes_aligns_the_columns(tmp_path):
    pictures.preview(tmp_path / "a.png", [scene(20, 30), scene(50, 40)], CLASSES, PALETTE)
    shown = read(tmp_path / "a.png")
    red = (shown[..., 0] > 240) & (shown[..., 1] < 210) & (shown[..., 2] < 5)
    columns = np.flatnonzero(red[:, : shown.shape[1] // 3 + 5].any(axis=0))
    assert np.ptp(columns) + 1 == 40 * 9
    assert red[:, columns[0]].sum() == red[:, columns[-1]].sum() == 240 + 450  # 20 * 360/30 and 50 * 360/40 rows


def test_legend_wraps_into_aligned_columns_within_the_width():
    pen = lettering.Pen(20)
    names = [f"a class of number {number}" for number in range(11)]
    lines, starts = lettering._arrange(pen, names, 700)
    assert [number for line in lines for number in line] == list(range(11))
    assert len(lines) > 1
    assert max(map(len, lines)) == len(starts)
    widest_last = max(pen.width(names[line[-1]]) for line in lines if len(line) == len(starts))
    assert starts[-1] + lettering._side(pen) + 10 + widest_last <= 700
    assert lettering.legend_height(pen, names, 700) == len(lines) * lettering.legend_height(pen, names[:1], 700)
    sheet = Image.new("RGB", (700, lettering.legend_height(pen, names, 700)), "white")
    colours = np.random.default_rng(0).integers(0, 200, (11, 3)).astype(np.uint8)
    lettering.draw_legend(sheet, pen, list(zip(names, colours, strict=True)), 0, 0, 700)
    for number, colour in enumerate(colours):
        row, column = divmod(number, len(starts))
        y = row * sheet.height // len(lines) + lettering._side(pen) // 2
        assert sheet.getpixel((starts[column] + lettering._side(pen) // 2, y)) == tuple(colour)
    assert lettering._arrange(pen, names, 10)[1] == [0]  # too narrow for any: one column


@pytest.mark.parametrize("error", [ImportError, TypeError])
def test_without_freetype_the_bitmap_face_does(tmp_path, monkeypatch, error):
    bitmap = ImageFont.load_default_imagefont()

    def load_default(size=None):
        if size is not None:
            raise error
        return bitmap

    monkeypatch.setattr(ImageFont, "load_default", load_default)
    pictures.preview(tmp_path / "a.png", [scene()], ("sky", "car", "街灯"), PALETTE, mean_iou=0.5)
    assert has_colour(read(tmp_path / "a.png"), lettering.INK)


def test_preview_refuses_bad_rows(tmp_path):
    image, truth, prediction = scene()
    path = tmp_path / "a.png"
    with pytest.raises(ValueError, match="preview: expected at least one row"):
        pictures.preview(path, [], CLASSES, PALETTE)
    with pytest.raises(ValueError, match=r"expected the prediction of row 1 in the size of its image \(20, 30\)"):
        pictures.preview(path, [scene(), (image, truth, prediction[:-1])], CLASSES, PALETTE)
    with pytest.raises(ValueError, match=r"expected the truth of row 0 .* got \(20, 29\)"):
        pictures.preview(path, [(image, truth[:, 1:], prediction)], CLASSES, PALETTE)
    with pytest.raises(ValueError, match=r"expected labels 0..2"):
        pictures.preview(path, [(image, truth, prediction + 1)], CLASSES, PALETTE)
    with pytest.raises(ValueError, match="preview: expected 3 class names, one for each colour, got 2"):
        pictures.preview(path, [scene()], CLASSES[:2], PALETTE)
    assert not path.exists()


def test_a_failed_write_leaves_the_old_picture(tmp_path, monkeypatch):
    path = tmp_path / "preview.png"
    path.write_bytes(b"the old one")

    def full_disk(self, file, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        pictures.preview(path, [scene()], CLASSES, PALETTE)
    assert path.read_bytes() == b"the old one"
    assert [p.name for p in tmp_path.iterdir()] == ["preview.png"]


def records(n=40):
    run = [{"step": k, "seconds": 0.1 * k, "loss": 2.0 / k} for k in range(1, n + 1)]
    for record in run[9::10]:
        record.update(pixel_accuracy=0.9, mean_iou=record["step"] / 100)
    return run


BLUE, ORANGE = (0x2B, 0x6C, 0xB0), (0xD9, 0x73, 0x0D)


def test_curves_draws_loss_and_scores(tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "curves.png"
    assert pictures.curves(path, records()) is True
    assert [p.name for p in tmp_path.iterdir()] == ["curves.png"]
    shown = read(path)
    assert shown.shape[1] > 2 * shown.shape[0]
    left, right = np.split(shown, [shown.shape[1] * 45 // 100], axis=1)
    assert has_colour(left, BLUE)
    assert not has_colour(left, ORANGE)
    assert has_colour(right, BLUE)
    assert has_colour(right, ORANGE)
    assert (shown[0] == 255).all()


@pytest.mark.parametrize("run", [
    records(1),  # one step, no evaluation
    [{"step": 1, "loss": float("nan")}, {"step": 2, "loss": 0.0}],  # nothing that a logarithm could show
    [{"step": 1, "loss": 1.0, "mean_iou": 0.5, "pixel_accuracy": 0.52}],  # two names on top of each other
    [{"step": k, "loss": 10.0 ** -k, "mean_iou": None} for k in range(8)],
])
def test_curves_of_odd_runs(tmp_path, run):
    pytest.importorskip("matplotlib")
    assert pictures.curves(tmp_path / "curves.png", run)
    assert read(tmp_path / "curves.png").std() > 1


def test_curves_leaves_pyplot_alone(tmp_path):
    pytest.importorskip("matplotlib")
    import matplotlib

    before = dict(matplotlib.rcParams)
    pictures.curves(tmp_path / "curves.png", records())
    assert dict(matplotlib.rcParams) == before
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_without_matplotlib_no_curves_and_no_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert pictures.curves(tmp_path / "curves.png", records()) is False
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="curves: expected at least one record"):
        pictures.curves(tmp_path / "curves.png", [])


def test_smoothing_is_a_geometric_mean_that_is_cut_off_at_the_ends():
    values = np.exp(np.random.default_rng(0).normal(size=100))
    expected = [np.prod(values[max(0, k - 5):k + 6]) ** (1 / len(values[max(0, k - 5):k + 6])) for k in range(100)]
    np.testing.assert_allclose(smoothed(values), expected, rtol=1e-12)
    assert smoothed(np.array([3.0])) == pytest.approx(3.0)
