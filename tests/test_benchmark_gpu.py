"""The GPU's benchmark, whole but for the GPU: a stand-in has its arrays in main memory and its moments from a clock."""

import json
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("no benchmarks beside the tests", allow_module_level=True)
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # benchmarks/ is a package of the repository, not of minifcn

from benchmarks import clock, gpu, gpu_report, gpu_rows  # noqa: E402
from benchmarks.cases import Dimensions  # noqa: E402
from minifcn import gpu_status, use_kernels  # noqa: E402

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed: the extra [parity]")
ROWS = gpu_rows.all_rows()
NEW = [row for row in ROWS if row.title not in {row.title for row in gpu_rows.rows.all_rows()}]
LIMITS = {"copy_gbs": 4000.0, "sgemm_gflops": 50_000.0, "tf32_gflops": 400_000.0}


@pytest.fixture
def pretend(monkeypatch):
    """Makes a card that is none. Its kernels are those of `array`; `card.lost` makes it fail like a lost device."""
    from benchmarks import gpu_card, gpu_measure, peers

    monkeypatch.setattr(gpu_card, "HELD_BYTES", 1 << 16)
    monkeypatch.setattr(gpu_card, "MATRIX", 64)
    monkeypatch.setattr(gpu_card, "REPEATS", 1)
    monkeypatch.setattr(gpu_measure, "MOST_CALLS", 2)
    for effort in ("FULL", "QUICK"):
        monkeypatch.setattr(gpu, effort, clock.Effort(least=1, most=1, slow=1))

    class Moment(float):
        done = False

    class Pretend(gpu_card.Card):
        device = "cpu"
        cache_bytes = 1 << 14
        lost = False

        def __init__(self):
            self.xp, self.holds = np, 2
            self.held = np.ones(1 << 12, np.float32), np.empty(1 << 12, np.float32)

        def event(self):
            return Moment(time.perf_counter())

        def seconds_between(self, begin, end):
            return end - begin

        def synchronize(self):
            if self.lost:
                raise RuntimeError("unspecified launch failure")

        def release(self):
            pass

        def describe(self):
            facts = {"card": "a card", "multiprocessors": 1, "memory_bytes": 2**30, "cache_bytes": self.cache_bytes}
            return facts | {"driver": "1", "cuda": "2", "cuda_of_cupy": "3", "cudnn": "4"}

    with use_kernels("array"), peers.use_threads(1):  # more of them would wait for each other, on a busy machine long
        yield Pretend


def run(pretend, tmp_path, *arguments):
    code = gpu.main([*arguments, "--scale", "0.03", "--out", str(tmp_path)], pretend)
    (path,) = tmp_path.glob("*.json")
    return code, json.loads(path.read_text()), path.with_suffix(".md").read_text()


# The command.

@needs_torch
def test_every_kind_of_row_runs_whole(pretend, tmp_path, capsys):
    """The most important rows: each kind of pass, and the steps of whole networks."""
    code, report, page = run(pretend, tmp_path, "--quick", "--batch", "2")
    expected = [f"{row.title}, N = {batch}" for row, batch in gpu_rows.jobs("", (2,), most_important=True)]
    assert [f"{row['title']}, N = {row['batch']}" for row in report["rows"]] == expected
    wrong = [(row["title"], row.get("why") or row.get("error")) for row in report["rows"]
             if row["verdict"] in ("FAILED", "INEXACT")]
    assert not wrong
    assert code == 0
    assert report["left"] == []
    assert not report["whole"]
    for row in report["rows"]:
        assert row["floor_ms"] > 0
        assert row["error"] <= row["allowed_error"]
        assert (row["copy_ms"] is None) == (row["tf32_ms"] is not None)
        assert set(row["wall_ms"]) == {"ours", "default"}
    printed = capsys.readouterr().out
    assert "a card" in page
    for row in report["rows"]:
        assert row["title"] in printed
        assert f"| {row['title']} | 2 |" in page
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    below = [row["title"] for row in report["rows"] if row["verdict"] != "ok"]
    assert all(f": {title}, N = 2" in page for title in below)


@needs_torch
def test_all_settings_of_the_peer_are_measured_unless_it_is_to_be_quick(pretend, tmp_path):
    _, report, _ = run(pretend, tmp_path, "--rows", "VGG 512>512 at 14x14, gradients", "--batch", "1")
    assert set(report["rows"][0]["peers_ms"]) == {"default", "channels_last"}


@needs_torch
def test_no_row_begins_when_the_time_is_over_and_the_rest_is_named(pretend, tmp_path):
    code, report, page = run(pretend, tmp_path, "--rows", "ReLU", "--minutes", "0")
    assert code == 0
    assert report["rows"] == []
    assert report["left"][0] == "ReLU, 64 at 224x224, forward, N = 1"
    assert "4 rows of 4, from ReLU, 64 at 224x224, forward, N = 1 on" in page


@needs_torch
def test_a_part_is_continued(pretend, tmp_path, monkeypatch):
    first = run(pretend, tmp_path, "--rows", "ReLU, 64 at 224x224, forward")[1]
    (path,) = tmp_path.glob("*.json")
    assert path.stem.endswith("-part")
    second = run(pretend, tmp_path, "--rows", "ReLU", "--continue", str(path))[1]
    assert second["rows"][:2] == first["rows"]
    assert [row["title"].split(", ")[-1] for row in second["rows"]] == ["forward"] * 2 + ["backward"] * 2
    assert second["seconds"] > first["seconds"]
    text = path.read_text().replace('"a card"', '"another card"')
    path.write_text(text)
    with pytest.raises(SystemExit, match="expected a part of a run with card 'a card', got 'another card'"):
        gpu.main(["--scale", "0.03", "--continue", str(path)], pretend)


@needs_torch
def test_a_row_that_fails_does_not_cost_the_others(pretend, tmp_path, monkeypatch):
    broken, good = next(row for row in ROWS if row.title.startswith("LRN")), ROWS[-1]
    monkeypatch.setattr(gpu_rows, "jobs", lambda *_: [(broken, 1), (good, 1)])
    monkeypatch.setattr("minifcn.ops.local_response_norm", lambda *_, **__: 1 / 0)
    code, report, page = run(pretend, tmp_path)
    assert code == gpu.FAULTY
    assert [row["verdict"] == "FAILED" for row in report["rows"]] == [True, False]
    assert "FAILED: LRN, 64 at 224x224, forward, N = 1: ZeroDivisionError: division by zero" in page


@needs_torch
def test_a_lost_device_is_taken_up_by_a_new_process(pretend, tmp_path, monkeypatch):
    started = []

    def lose(*_, **__):
        pretend.lost = True
        raise RuntimeError("an illegal memory access was encountered")

    monkeypatch.setattr("minifcn.ops.local_response_norm", lose)
    monkeypatch.setattr(gpu.os, "execv", lambda program, arguments: started.append(arguments))
    _, report, _ = run(pretend, tmp_path, "--rows", "LRN", "--minutes", "5")
    assert [row["verdict"] for row in report["rows"]] == ["FAILED"]
    assert len(report["left"]) == 3
    (arguments,) = started
    assert arguments[1:3] == ["-m", "benchmarks.gpu"]
    again = gpu._parser().parse_args(arguments[3:])
    assert json.loads(again.earlier.read_text())["rows"] == report["rows"]
    assert 4 < again.minutes < 5


@needs_torch
def test_an_interrupt_keeps_what_there_is(pretend, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("minifcn.ops.relu_backward", stop)
    _, report, page = run(pretend, tmp_path, "--rows", "ReLU", "--batch", "1")
    assert [row["title"] for row in report["rows"]] == ["ReLU, 64 at 224x224, forward"]
    assert report["left"] == ["ReLU, 64 at 224x224, backward, N = 1"]
    assert "for lack of time" in page


@needs_torch
def test_a_whole_run_replaces_its_part(pretend, tmp_path):
    card = pretend()
    options = gpu._parser().parse_args(["--out", str(tmp_path)])
    job = gpu.Run(options, [], card)
    job.write()
    assert [path.stem.endswith("-part") for path in sorted(tmp_path.iterdir())] == [True, True]
    job.finish()
    assert {path.name for path in tmp_path.iterdir()} == {f"gpu-{job.report['date']}.{end}" for end in ("json", "md")}


def test_without_a_gpu_it_says_why(capsys, monkeypatch):
    if gpu_status()[0]:
        pytest.skip("there is a GPU")
    assert gpu.main(["--rows", "ReLU"]) == gpu.MISSING == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("benchmark: error: expected ")
    monkeypatch.setattr(gpu, "find_spec", lambda name: None if name in ("cupy", "torch") else object())
    assert gpu.main([]) == 2
    said = capsys.readouterr().err
    assert "expected numpy, cupy, torch to be installed, got no cupy and no torch" in said


@needs_torch
def test_without_a_working_gpu_it_says_why(capsys, monkeypatch):
    monkeypatch.setattr(gpu, "find_spec", lambda name: object())
    monkeypatch.setattr("benchmarks.gpu_card.gpu_status", lambda: (False, "no CUDA device visible"), raising=False)
    assert gpu.main([]) == 2
    assert "expected a working GPU, got: no CUDA device visible" in capsys.readouterr().err


def test_a_pattern_that_fits_nothing(capsys):
    assert gpu.main(["--rows", "no such row", "--list"]) == 2
    assert "expected rows whose name contains 'no such row', got none" in capsys.readouterr().err


def test_the_list_begins_with_what_matters_most(capsys):
    assert gpu.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [f"{name}, training, N = {batch}" for name, batch in
                         (("fcn8s 500x500", 1), ("fcn8s 500x500", 8), ("segnet 360x480", 1))]
    assert len(lines) == len(set(lines)) > 2 * len(ROWS) - 5
    for name in gpu_rows.FIRST:
        assert any(row.title.startswith(name) for row in ROWS), name


# Both sides do the same work, in the rows that the CPU's benchmark does not have.

@needs_torch
@pytest.mark.parametrize("row", NEW, ids=lambda row: row.title)
def test_both_sides_give_the_same_numbers(row, pretend):
    from benchmarks.gpu_errors import measure_errors
    case = row.make(Dimensions(2, 1 / 16, pretend()))
    assert case.moved or case.traffic
    found = measure_errors(pretend(), case, row.winograd)
    assert found["error"] < 1e-5


@needs_torch
def test_errors_see_one_wrong_number_and_one_that_is_none():
    import torch

    from benchmarks.gpu_errors import relative
    exact = [torch.ones(10, dtype=torch.float64), torch.full((100,), 2.0, dtype=torch.float64)]
    found = [part.float() for part in exact]
    assert relative(found, exact) == 0
    found[1][3] = 3.0
    assert relative(found, exact) == pytest.approx(1 / 20)
    found[0][0] = np.nan
    assert np.isnan(relative(found, exact))
    with pytest.raises(ValueError, match="expected results of the shapes"):
        relative(found[:1], exact)
    tiny = [exact[0], 1e-9 * exact[0], exact[1]]  # by construction zero, but for rounding
    noisy = [exact[0], 3e-9 * exact[0], exact[1]]
    assert relative(noisy, tiny) == pytest.approx(2)
    assert relative(noisy, tiny, floor=1e-3) < 1e-6


@needs_torch
def test_an_unwritten_number_shows(pretend, monkeypatch):
    """Memory that is handed out again is full of NaN, not of the right result of the call before."""
    card = pretend()
    made = []
    monkeypatch.setattr(np, "empty", lambda shape, dtype: made.append(np.ones(shape, dtype)) or made[-1])
    card.spoil([((2, 3), np.float32), ((4,), np.int32)])
    assert np.isnan(made[0]).all()
    assert (made[1] == 1).all()


# The costs and the verdicts.

def test_bytes_of_a_convolution_are_those_of_its_arrays():
    row = {row.title: row for row in ROWS}
    x, weight = 64 * 224 * 224, 64 * 64 * 9
    forward = row["VGG 64>64 at 224x224, training"].make(Dimensions())
    assert forward.moved == 4 * (2 * x + weight + 64)
    backward = row["VGG 64>64 at 224x224, gradients"].make(Dimensions())
    assert backward.moved == 4 * (3 * x + 2 * weight + 64)  # x, gy, gx
    photo = row["VGG 3>64 at 224x224, gradients of weight"].make(Dimensions())
    assert photo.moved == 4 * (3 * 224 * 224 + x + 64 * 27 + 64)
    up = row["transposed k2 s2, U-Net 1024>512 at 16x16, forward"].make(Dimensions())
    assert up.flops == 2 * 1024 * 512 * 32 * 32
    assert up.moved == 4 * (1024 * 256 + 1024 * 512 * 4 + 512 * 1024)


RESULT = {
    "title": "a row", "batch": 8, "ours_ms": 1.0, "again_ms": 1.02, "copy_ms": None, "tf32_ms": 0.5, "waited": [],
    "peers_ms": {"default": 2.0, "channels_last": 1.5}, "wall_ms": {"ours": 1.1, "default": 2.1}, "flops": 2e10,
    "traffic": 0.0, "moved": 1e9, "error": 1e-7, "peer_error": 1e-7, "allowed_error": 1e-6, "limits": LIMITS,
    "turns": 5,
}


def test_the_floor_is_the_larger_of_both_times():
    found = gpu_report.judged(RESULT)
    assert found["floor_ms"] == pytest.approx(0.4)  # 2e10 at 50 TFLOP/s; 1e9 bytes at 4 TB/s would take 0.25 ms
    assert found["times_floor"] == pytest.approx(2.5)
    assert found["percent_of_sgemm"] == pytest.approx(40)
    assert gpu_report.judged(RESULT | {"moved": 4e9})["floor_ms"] == pytest.approx(1.0)
    assert (found["ratio"], found["best_ratio"], found["verdict"]) == (2.0, 1.5, "ok")
    assert found["spread"] == pytest.approx(0.02)


@pytest.mark.parametrize(("changes", "verdict"), [
    ({"peers_ms": {"default": 2.0, "channels_last": 0.9}}, "BELOW PyTorch"),
    ({"peers_ms": {"default": 0.99}}, "BELOW PyTorch (noise)"),
    ({"traffic": 1e9, "copy_ms": 0.8}, "ok"), ({"traffic": 1e9, "copy_ms": 0.7}, "BELOW copy"),
    ({"traffic": 1e9, "copy_ms": 0.7, "peers_ms": {"default": 0.9}}, "BELOW PyTorch, copy"),
    ({"error": 2e-6}, "INEXACT"), ({"error": float("nan")}, "INEXACT"),
])
def test_a_row_below_its_aims_is_marked_and_named(changes, verdict):
    found = gpu_report.judged(RESULT | changes)
    assert found["verdict"] == verdict
    assert verdict in gpu_report.line(found)
    named = [line for line in gpu_report.summary({"rows": [found], "left": []}) if "a row" in line]
    assert len(named) == (verdict != "ok")


def test_wrong_rows_come_first_then_those_furthest_from_their_aims():
    rows = [gpu_report.judged(RESULT | {"title": str(ratio), "peers_ms": {"default": ratio}}) for ratio in (0.9, 0.5)]
    rows += [gpu_report.judged(RESULT | {"title": "wrong", "error": 1.0}), gpu_report.failure("failed", 1, "why")]
    assert [row["title"] for row in gpu_report.short(rows)] == ["wrong", "failed", "0.5", "0.9"]
    assert len(gpu_report.cells(rows[-1])) == len(gpu_report.cells(rows[0])) == len(gpu_report.COLUMNS)


@needs_torch
def test_a_device_that_waited_for_python_is_marked(pretend):
    from benchmarks.gpu_card import Stopwatch
    card = pretend()
    watch, leg = Stopwatch(card), clock.Leg(lambda call: time.sleep(0.002))
    watch(leg, 0, 2)
    assert watch.waited == {id(leg): False}  # it had not begun when all was queued
    begun = card.event
    card.event = lambda: type("Begun", (type(begun()),), {"done": True})(begun())
    watch(leg, 2, 2)
    assert watch.waited == {id(leg): True}
    marked = gpu_report.judged(RESULT | {"waited": ["ours"]})
    assert "1.00*" in gpu_report.cells(marked)


@needs_torch
def test_results_live_until_the_turn_is_over(pretend):
    """Else the next call would write where the last one wrote, into the cache."""
    from benchmarks.gpu_card import Stopwatch
    alive, most = set(), []

    class Result:
        def __init__(self, call):
            self.call = call
            alive.add(call)
            most.append(len(alive))

        def __del__(self):
            alive.discard(self.call)

    Stopwatch(pretend())(clock.Leg(Result), 0, 4)
    assert most == [1, 2, 3, 4]
    assert not alive


@needs_torch
def test_inputs_are_rotated_out_of_the_devices_cache(pretend):
    card = pretend()
    arrays = card.several(np.random.default_rng(0), 2, 512)  # 4 KiB each, the cache has 16
    assert len(arrays) == 8
    assert len({array.tobytes() for array in arrays}) == 8
    assert all(np.array_equal(np.sort(array, None), np.sort(arrays[0], None)) for array in arrays)


def test_nothing_but_numpy_is_imported_beside_the_two_libraries():
    """A machine with a GPU may have no numba, and no network to install it from."""
    code = ("import sys; from benchmarks import gpu, gpu_report, gpu_rows, networks; from minifcn.kernels import cuda; "
            "import minifcn.files; gpu_rows.jobs(); networks.build('unet', 1 / 32); "
            "print(*{name.split('.')[0] for name in sys.modules})")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=True)
    assert not {"numba", "scipy", "PIL", "rich", "safetensors", "threadpoolctl", "filelock"} & set(done.stdout.split())
