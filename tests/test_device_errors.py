"""What is said where a GPU cannot be had, or has too little memory; on the stand-in for one."""

import gc
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

from minifcn import cli, gpu_memory, models
from minifcn.arrays import gpu_status, to_device
from minifcn.data import save_image
from minifcn.fusion import fuse
from minifcn.layers import SoftmaxCrossEntropy
from minifcn.prediction import Predictor
from minifcn.weights import save


def fails(*_, **__):
    raise OSError("libnvrtc.so.12: cannot open shared object file\nsecond line")


def break_it(cupy, case):
    runtime = cupy.cuda.runtime
    if case == "no device":
        cupy.stand_in.devices = 0
    elif case == "no driver":
        runtime.driverGetVersion = lambda: 0
    elif case == "old driver":
        runtime.driverGetVersion = lambda: 11080
    elif case == "no NVRTC":
        cupy.cuda.nvrtc = SimpleNamespace(getVersion=fails)
    elif case == "no kernels":
        cupy.arange = fails


REASONS = {
    "no device": "no CUDA device visible",
    "no driver": "no NVIDIA driver",
    "old driver": r"the driver is too old: it is for CUDA 11\.8, and CuPy for 12\.9; update the driver or",
    "no NVRTC": r"CuPy finds no NVRTC to compile with: OSError: libnvrtc\.so\.12: cannot open shared object file; the",
    "no kernels": r"OSError: libnvrtc\.so\.12: cannot open shared object file$",
}


@pytest.mark.parametrize("case", REASONS)
def test_the_reason_is_told(case, cupy):
    break_it(cupy, case)
    ok, reason = gpu_status()
    assert not ok
    assert re.match(REASONS[case], reason)


def test_doctor_describes_each_gpu(cupy, capsys):
    cupy.stand_in.devices = 2
    assert cli.main(["doctor", "--json"]) == 0
    gpu = "Stand-in GPU, compute capability 9.0, 16.0 GiB of memory, 16.0 free"
    assert json.loads(capsys.readouterr().out)["gpu"] == {
        "cuda:0": gpu, "cuda:1": gpu, "driver": "for CUDA 12.8", "runtime": "CUDA 12.9", "CuPy": "14.0.0",
        "NVRTC": "12.9"}
    assert cli.main(["doctor"]) == 0
    assert "cuda:1: Stand-in GPU" in capsys.readouterr().out


def test_doctor_says_why_not(cupy, capsys):
    break_it(cupy, "no driver")
    assert cli.main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gpu"] == "no: no NVIDIA driver"


TRAIN = ["--width", "0.02", "--iterations", "2", "--evaluations", "1", "--out"]


def test_auto_says_once_that_it_is_the_cpu(scenes, tmp_path, cupy, capsys):
    break_it(cupy, "no device")
    run = str(tmp_path / "run")
    assert cli.main(["train", "--data", f"folder:{scenes}", *TRAIN, run]) == 0
    assert capsys.readouterr().err.count("running on the CPU: no CUDA device visible") == 1
    for command in (["evaluate", run, "--data", f"folder:{scenes}"],
                    ["predict", run, str(next(scenes.rglob("images/*.png"))), "--out", str(tmp_path)]):
        assert cli.main([*command, "--device", "auto"]) == 0
        assert capsys.readouterr().err.count("running on the CPU: no CUDA device visible") == 1
        assert cli.main(command) == 0
        assert "CPU" not in capsys.readouterr().err
        assert cli.main([*command, "--device", "cuda"]) == 2
        assert "expected a working GPU for 'cuda', got: no CUDA device visible. Use" in capsys.readouterr().err


def test_commands_compute_on_the_gpu(scenes, tmp_path, cupy, capsys):
    """And say the same as on the CPU."""
    cupy.stand_in.devices = 2
    run = str(tmp_path / "run")
    assert cli.main(["train", "--data", f"folder:{scenes}", *TRAIN, run, "--device", "cuda:1"]) == 0
    capsys.readouterr()
    for more in ([], ["--samples", "2"]):
        reports = []
        for device in ("cpu", "cuda:1"):
            before = len(cupy.stand_in.copies)
            command = ["evaluate", run, "--data", f"folder:{scenes}", "--json", *more, "--device", device]
            assert cli.main(command) == 0
            assert (len(cupy.stand_in.copies) > before) == (device != "cpu")
            reports.append(json.loads(capsys.readouterr().out) | {"seconds": 0})
        assert reports[0] == reports[1]


def small_gpu(cupy, nbytes):
    """No more than so many bytes from now on. What an earlier run leaves is first swept up."""
    gc.collect()
    cupy.stand_in.total = cupy.stand_in.used + nbytes


def big_training(scenes, tmp_path, *more):
    return cli.main(["train", "--data", f"folder:{scenes}", "--size", "96x128", "--width", "0.0625", "--iterations",
                     "1", "--evaluations", "1", "--device", "cuda", "--out", str(tmp_path / "run"), "--overwrite",
                     *more])


@pytest.mark.parametrize("model", ["fcn8s", "segnet"])
def test_training_says_which_batch_would_fit_and_it_does(model, scenes, tmp_path, cupy, capsys):
    small_gpu(cupy, 24 << 20)
    assert big_training(scenes, tmp_path, "--model", model, "--batch-size", "16") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    told = re.fullmatch(r"minifcn: error: train: expected ([\d,]+) bytes of GPU memory, got ([\d,]+) free\. By an "
                        r"estimate a batch of (\d+) would fit: use --batch-size \3; --accumulate makes updates of "
                        r"several batches\.", error)
    assert told, error
    asked, free = (int(number.replace(",", "")) for number in told.groups()[:2])
    assert asked > free
    assert 1 <= int(told[3]) < 16
    assert big_training(scenes, tmp_path, "--model", model, "--batch-size", told[3]) == 0


def test_training_says_which_size_would_fit(scenes, tmp_path, cupy, capsys):
    small_gpu(cupy, 22 << 20)
    assert big_training(scenes, tmp_path, "--size", "256x384", "--batch-size", "1") == 2
    error = capsys.readouterr().err
    size = re.search(r"By an estimate one image of (\d+x\d+) would fit: use --size \1 or --crop \1 and --batch-size 1",
                     error)
    assert size, error
    assert big_training(scenes, tmp_path, "--size", "256x384", "--batch-size", "1", "--crop", size[1]) == 0


def test_weights_that_do_not_fit(scenes, tmp_path, cupy, capsys):
    small_gpu(cupy, 1 << 20)
    assert big_training(scenes, tmp_path) == 2
    assert re.search(r"train: expected [\d,]+ bytes of GPU memory, got [\d,]+ free\. Use a smaller --width, or "
                     r"--device cpu\.\n", capsys.readouterr().err)


def checkpoint(path, name, **options):
    net = models.build(name, num_classes=3, width=1 / 16, rng=0, **options)
    save(path, net)
    return path


def test_prediction_says_which_tile_would_fit(tmp_path, cupy, capsys):
    path = checkpoint(tmp_path / "unet.safetensors", "unet", padding="paper")
    save_image(tmp_path / "x.png", np.zeros((600, 600, 3), np.uint8))
    command = ["predict", str(path), str(tmp_path / "x.png"), "--out", str(tmp_path), "--device", "cuda"]
    assert cli.main(command) == 0
    small_gpu(cupy, cupy.stand_in.peak * 4 // 5)
    assert cli.main(command) == 2
    gc.collect()
    tile = re.search(r"predict: expected [\d,]+ bytes of GPU memory, got [\d,]+ free\. By an estimate tiles of "
                     r"(\d+x\d+) would fit: use --tile \1\.", capsys.readouterr().err)
    assert tile
    assert cli.main([*command, "--tile", tile[1]]) == 0


def test_prediction_says_which_picture_would_fit(tmp_path, cupy):
    predictor = Predictor.open(checkpoint(tmp_path / "fcn.safetensors", "fcn32s", padding="same"), device="cuda")
    image, before = np.zeros((700, 800, 3), np.uint8), cupy.stand_in.used
    predictor.labels(image)
    small_gpu(cupy, (cupy.stand_in.peak - before) * 2 // 3)
    try:
        predictor.labels(image)
    except gpu_memory.OutOfGpuMemory as error:  # not pytest.raises, which would keep all that the pass had
        told = re.match(r"predict: expected .* By an estimate a picture of (\d+)x(\d+) would fit: make", str(error))
    rows, columns = map(int, told.groups())
    gc.collect()
    assert predictor.labels(image[:rows, :columns]).shape == (rows, columns)


def test_the_hosts_memory_is_another_matter():
    with pytest.raises(MemoryError, match="Unable to allocate"), gpu_memory.memory_explained("train", str):
        raise MemoryError("Unable to allocate 3 GiB")


@pytest.mark.parametrize("name", ["fcn8s", "fcn32s", "segnet", "unet", "fcn-googlenet"])
def test_the_estimates_are_near_what_is_used(name, cupy):
    net = models.build(name, num_classes=5, width=1 / 16, rng=0, **models.same_padding(name)).to(device="cuda")
    runner, size, images, loss = fuse(net), (128, 160), 4, SoftmaxCrossEntropy()
    before = cupy.stand_in.used
    x, target = np.zeros((images, 3, *size), np.float32), np.zeros((images, *size), np.int64)
    y = runner.forward(to_device(x, "cuda"), record=True)
    loss.forward(y, to_device(target, "cuda"), record=True)
    del y
    runner.back_out([loss.backward()[0]], (False,))
    used = cupy.stand_in.peak - before - gpu_memory.bytes_of_parameters(net)
    estimate = images * gpu_memory.bytes_of_maps(runner, size)
    assert 0.9 < estimate / used < 1.6  # rather too much than too little
