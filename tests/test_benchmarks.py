"""The benchmark compares what is the same: both sides of every row give the same numbers, on small sizes. No timing."""

import dataclasses
import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("no benchmarks beside the tests", allow_module_level=True)
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # benchmarks/ is a package of the repository, not of minifcn

from benchmarks import accuracy, clock, cpu, inputs, limits, measure, networks, onnx_twins, report, rows  # noqa: E402
from benchmarks.cases import EXACT, Dimensions  # noqa: E402
from minifcn import models  # noqa: E402

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed: the extra [parity]")
needs_onnx = pytest.mark.skipif(not onnx_twins.installed(), reason="onnx and onnxruntime are not installed")
SMALL, NETWORK = 1 / 16, 1 / 32
ROWS = rows.all_rows()


def result(leg):
    return accuracy.arrays(leg.run(leg.before(0)))


def scale_of(row):
    return NETWORK if row.memory or "x500" in row.name.split(" ")[-1] else SMALL


# Both sides do the same work.

@needs_torch
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.title)
def test_both_sides_give_the_same_numbers(row, batch):
    case = row.make(Dimensions(batch, scale_of(row)))
    if row.phase == "training" and not case.traffic and not case.flops:
        pytest.skip("a step draws dropout masks; see test_a_step_is_the_same")
    exact = result(case.peers.get(EXACT, case.peers["default"])())
    assert len(exact) == len(result(case.ours()))
    assert accuracy.error(case.ours(), exact) < 2e-5
    for name, make in case.peers.items():
        if name != EXACT:
            leg = make(threads=1) if name == "onnxruntime" else make()
            assert accuracy.error(leg, exact) < 2e-5, name


@needs_torch
@pytest.mark.parametrize("layout", ["default", "channels_last"])
@pytest.mark.parametrize("name", sorted(networks.CLASSES))
def test_a_step_is_the_same(name, layout):
    """Losses of three steps: the second and third see what backward and update have done."""
    from benchmarks import steps

    def build():
        net = networks.build(name, 1 / 16)
        for parameter in net.parameters().values():
            parameter.lr_mult *= 300  # so that a step can be seen in the loss
        return steps.without_dropout(net)

    x, labels = steps.example(2, 48, 64, networks.CLASSES[name])
    ours, theirs = steps.our_training(build, x, labels), steps.peer_training(build, x, labels, layout)
    losses = np.array([[float(leg.run(call)) for call in range(3)] for leg in (ours, theirs)])
    change = abs(losses[0, 2] - losses[0, 0])
    assert change > 1e-3
    np.testing.assert_allclose(losses[0], losses[1], rtol=0, atol=0.05 * change)  # float32 drifts with batch norm


@needs_onnx
@pytest.mark.parametrize("name", sorted(networks.CLASSES))
def test_onnx_runtime_computes_the_same(name):
    net = networks.build(name, 1 / 16).eval()
    x = np.random.default_rng(0).standard_normal((2, 3, 48, 80), dtype=np.float32)  # 3 rows at the fifth pooling
    expected = net.forward(x)
    found = onnx_twins.session(net, x.shape, 1)(x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


# The networks are the published ones.

@pytest.mark.parametrize(("name", "parameters"), [
    ("segnet", 29_449_355), ("segnet-basic", 1_416_587),  # of 11 classes, as their authors' files
    ("unet", 31_030_658 + 2 * 64 * 9),  # the paper's diagram, with three colours instead of one
])
def test_networks_have_the_published_parameters(name, parameters):
    assert models.count_parameters(networks.build(name))["trainable"] == parameters


@pytest.mark.parametrize("name", sorted(networks.CLASSES))
@pytest.mark.parametrize("size", [(45, 60), (64, 48)])
def test_networks_score_every_pixel(name, size):
    net = networks.build(name, 1 / 32).eval()
    assert net.forward(np.ones((1, 3, *size), np.float32)).shape == (1, networks.CLASSES[name], *size)


# The table.

RESULT = {
    "title": "a row", "batch": 1, "threads": 2, "bar": 2.0, "aim": 3.0, "ours_ms": 10.0, "copy_ms": None,
    "peers_ms": {"default": 40.0, "channels_last": 25.0, "onnxruntime": 1.0}, "flops": 1e9, "traffic": 0.0,
    "peak_gflops": 200.0, "error": None, "peer_error": None, "allowed_error": None, "turns": 7,
}


def test_ratios_are_to_the_peers_default_and_to_its_best():
    found = report.judged(RESULT)
    assert (found["ratio"], found["best_ratio"], found["verdict"]) == (4.0, 2.5, "ok")
    assert (found["gflops"], found["percent_of_peak"]) == (100.0, 50.0)


@pytest.mark.parametrize(("changes", "verdict"), [
    ({"bar": 2.5}, "ok"), ({"bar": 2.6}, "default"), ({"bar": 4.0}, "default"), ({"bar": 4.1}, "BELOW"),
    ({"bar": None}, ""), ({"peers_ms": {}}, ""), ({"peers_ms": {"default": 19.0, "channels_last": 50.0}}, "BELOW"),
    ({"error": 2e-5, "allowed_error": 1e-5}, "ok INEXACT"), ({"error": 1e-5, "allowed_error": 1e-5}, "ok"),
    ({"error": 2e-5, "allowed_error": 1e-5, "bar": 9}, "BELOW INEXACT"),
    ({"error": float("nan"), "allowed_error": 1e-5}, "ok INEXACT"),
])
def test_a_row_below_its_bar_is_marked(changes, verdict):
    found = report.judged(RESULT | changes)
    assert found["verdict"] == verdict
    assert verdict in report.line(found)
    assert len(report.below([found])) == (verdict not in ("", "ok"))
    named = [line for line in report.summary([found], []) if "a row" in line]
    assert len(named) == (verdict not in ("", "ok"))


def test_memory_is_held_to_a_copy():
    found = report.judged(RESULT | {"flops": 0.0, "traffic": 1e9, "copy_ms": 5.0})
    assert (found["gbs"], found["percent_of_copy"]) == (100.0, 50.0)
    assert "gflops" not in found


def test_the_page_has_every_row():
    results = [report.judged(RESULT), report.judged(RESULT | {"title": "another", "bar": 5.0})]
    whole = {"date": "2026-11-21", "rows": results, "memory": [], "peak_gflops": {1: 100.0, 2: 200.0},
             "copy_gbs": {1: 20.0, 2: 30.0}, "seconds": 61.0}
    page = report.markdown(whole, ["a processor"])
    assert "1 of 2 rows with a bar reach it" in page
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert len(table) == 4
    assert len({line.count("|") for line in table}) == 1
    assert [line for line in table if "BELOW" in line] == [table[3]]
    assert json.loads(report.as_json(whole))["rows"][1]["title"] == "another"


# The method, without a clock.

def test_legs_take_turns():
    called = []
    legs = {name: clock.Leg(lambda call, name=name: called.append((name, call))) for name in "AB"}
    timings = clock.alternate(legs, clock.Effort(least=2, most=2, seconds=0), pause=0)
    order = [name for index, (name, _) in enumerate(called) if index == 0 or called[index - 1][0] != name]
    assert order == ["A", "B"] * 4  # one to warm up, one to see how long it takes, two that count
    assert [call for name, call in called if name == "A"] == list(range(len(called) // 2))
    assert timings["A"].turns == timings["B"].turns == 2


@pytest.mark.parametrize(("slowest", "whole", "turns"), [(0.001, 0.1, 15), (0.1, 0.5, 8), (0.5, 2.0, 7), (3.0, 9.0, 3)])
def test_slow_rows_are_repeated_less(slowest, whole, turns):
    assert clock.FULL.turns(slowest, whole) == turns


def test_inputs_are_rotated_out_of_the_cache(monkeypatch):
    cache = 32 << 20
    monkeypatch.setattr(inputs, "last_level_cache", lambda: cache)
    assert inputs.copies(cache) == 1
    assert inputs.copies(cache // 8) == 4
    assert inputs.copies(1) == inputs.MOST_COPIES
    assert inputs.normal(np.random.default_rng(0), 3, 5).ctypes.data % inputs.CACHE_LINE == 0


def test_errors_are_relative_to_the_largest_number():
    leg = clock.Leg(lambda call: (np.array([1.0, 4.5]), None, [np.array([0.0])]))
    assert accuracy.error(leg, [np.array([1.0, 5.0]), np.array([0.0])]) == 0.1
    wrong = clock.Leg(lambda call: (np.array([1.0]), np.array([np.nan])))
    assert np.isnan(accuracy.error(wrong, [np.array([1.0]), np.array([1.0])]))
    assert accuracy.allowed(True, 0.0) == 1e-5
    assert accuracy.allowed(False, 1e-5) == pytest.approx(1.5e-5)


def test_limits_are_measured():
    assert limits.peak_gflops(1) > 0
    assert limits.copy_gbs(1 << 20) > 0


# The command.

@needs_torch
@pytest.mark.parametrize("pattern", ["ReLU", "stride 2, 128>128 at 56x56, inference", "unet 256x256, inference"])
def test_a_row_from_the_command_line(pattern, tmp_path, capsys):
    file = tmp_path / "rows.json"
    arguments = ["--rows", pattern, "--scale", "0.05", "--quick", "--threads", "1", "--batch", "1", "--folders"]
    assert cpu.main([*arguments, "--json", str(file), "--out", str(tmp_path / "out")]) == 0
    found = json.loads(file.read_text())
    assert {row["title"] for row in found["rows"]} == {row.title for row in ROWS if pattern in row.title}
    for row in found["rows"]:
        assert row["title"] in capsys.readouterr().out or row["ours_ms"] > 0
        assert row["error"] < 1e-5
        assert row["ratio"] > 0
        assert ("folders_ms" in row) == ("stride" in pattern)
    page = tmp_path / "out" / f"cpu-{found['date']}.md"
    assert found["rows"][0]["title"] in page.read_text()


def test_a_pattern_that_fits_nothing(capsys):
    assert cpu.main(["--rows", "no such row"]) == 2
    assert "expected rows whose name contains 'no such row', got none" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["0", "a", "1,", "2,x"])
def test_wrong_numbers_of_threads(wrong, capsys):
    with pytest.raises(SystemExit):
        cpu.main(["--threads", wrong])
    assert "expected numbers from 1" in capsys.readouterr().err


def test_the_list_names_every_bar(capsys):
    assert cpu.main(["--list", "--all"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == sum(len(row.batches) for row in ROWS)
    assert "VGG 512>512 at 14x14, gradients, N = 4: at least 1.5" in lines
    assert len({row.title for row in ROWS}) == len(ROWS)


@needs_torch
def test_peak_memory_in_a_child_process():
    """Not that of this process, which is far larger."""
    from benchmarks import memory
    for library in ("ours", "torch"):
        assert 0 < memory.peak(library, "unet", (64, 64), 1, 1, 1 / 8) < 200


def test_reference_is_extrapolated_from_a_smaller_size():
    row = dataclasses.replace(next(row for row in ROWS if row.folders))
    case = row.make(Dimensions(1, 0.05))
    found = measure.measure_folders(row, case, 1, 1, case.flops)
    assert set(found) == {"array", "reference ~"}
    assert min(found.values()) > 0
