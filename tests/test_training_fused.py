"""Training, scoring and prediction run fused and by Winograd unless told otherwise, and what is saved is the same."""

import json

import numpy as np
import pytest

import minifcn
from minifcn import cli, kernels, training
from minifcn.data import open_dataset
from minifcn.evaluation import score
from minifcn.fusion import FusedGraph
from minifcn.graph import Graph
from minifcn.learner import Learner, TrainingError
from minifcn.prediction import Predictor
from minifcn.progress import Progress
from minifcn.settings import Settings
from minifcn.weights import read_checkpoint


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No curves, which take time; the kernels on which fused and unfused agree to the bit."""
    monkeypatch.setattr(training.pictures, "curves", lambda path, records: False)
    monkeypatch.delenv("MINIFCN_WINOGRAD", raising=False)
    with minifcn.use_kernels("array"):
        yield


@pytest.fixture
def ran(monkeypatch):
    """What ran: a set of (type of the Graph, whether frozen, whether Winograd was allowed)."""
    seen, real = set(), Graph.forward

    def forward(graph, *xs, **options):
        frozen = all(p.prepared is not None for p in graph.parameters().values())
        seen.add((type(graph), frozen, kernels.winograd_allowed()))
        return real(graph, *xs, **options)

    monkeypatch.setattr(Graph, "forward", forward)
    return seen


def settings(folder, **given):
    return Settings(**{"data": f"folder:{folder}", "width": 1 / 64, "batch_size": 2, "iterations": 4, "evaluations": 2,
                       "lr": 0.01} | given)


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("winograd", [True, False])
def test_all_of_a_training_goes_by_the_settings(scenes, tmp_path, ran, fuse, winograd):
    minifcn.train(settings(scenes, fuse=fuse, winograd=winograd), tmp_path)
    kind = FusedGraph if fuse else Graph
    assert ran == {(kind, False, winograd), (kind, True, winograd)}  # training, and scoring with frozen weights
    assert kernels.winograd_allowed()  # and nothing is left of it
    kept = json.loads((tmp_path / "run.json").read_text())["settings"]
    assert (kept["fuse"], kept["winograd"]) == (fuse, winograd)


def test_the_surroundings_may_forbid_winograd_too(scenes, tmp_path, ran):
    with minifcn.use_winograd(False):
        minifcn.train(settings(scenes), tmp_path)
    assert {allowed for _, _, allowed in ran} == {False}


def test_fused_and_unfused_trainings_end_with_the_same_bits(scenes, tmp_path):
    results = []
    for fuse in (True, False):
        minifcn.train(settings(scenes, fuse=fuse), tmp_path / str(fuse))
        results.append(read_checkpoint(tmp_path / str(fuse) / "last.safetensors"))
    (arrays, meta), (others, other_meta) = results
    assert list(arrays) == list(others)  # the names are those of the paper's network
    assert meta["architecture"] == other_meta["architecture"]
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, others[name], err_msg=name)


def test_a_run_from_before_there_was_the_choice_is_resumed(scenes, tmp_path, capsys):
    minifcn.train(settings(scenes), tmp_path)
    expected, _ = read_checkpoint(tmp_path / "last.safetensors")
    info = json.loads((tmp_path / "run.json").read_text())
    for name in ("fuse", "winograd"):
        del info["settings"][name]
    (tmp_path / "run.json").write_text(json.dumps(info))
    assert minifcn.train(None, tmp_path, resume=True).finished
    assert cli.main(["train", "--out", str(tmp_path), "--resume", "--lr", "0.01"]) == 0
    found, _ = read_checkpoint(tmp_path / "last.safetensors")
    assert all(np.array_equal(found[name], array) for name, array in expected.items())
    assert cli.main(["train", "--out", str(tmp_path), "--resume", "--no-fuse"]) == 2
    assert "the settings that the run was started with (fuse True), got fuse False" in capsys.readouterr().err


def test_a_loss_that_is_no_number_is_replayed_unfused(scenes):
    """So the message names a layer of the paper's network: the convolution, not the ReLU that it was fused with."""
    learner = Learner(settings(scenes), Progress())
    learner.iterations = 4
    learner.net["conv2_1"].weight.data[...] = 3e38
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(
        TrainingError, match=r"the first to produce one was layer 'conv2_1', from finite weights"
    ):
        learner.train_step(1)
    assert not learner.runner._has_open_caches()


# Prediction.

def noisy_net(rng):
    net = minifcn.models.build("fcn8s", num_classes=3, width=1 / 32, padding="same", rng=rng)
    for name in ("score_fr", "score_pool4", "score_pool3"):
        net[name].weight.data[...] = rng.normal(size=net[name].weight.data.shape)
    return net


def test_a_network_from_a_file_is_frozen_and_one_that_is_given_is_not(rng, tmp_path, ran):
    net, image = noisy_net(rng), rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    labels = minifcn.predict(net, image)
    assert ran == {(FusedGraph, False, True)}
    ran.clear()
    minifcn.save(tmp_path / "net", net)
    np.testing.assert_array_equal(minifcn.predict(tmp_path / "net", image), labels)
    assert ran == {(FusedGraph, True, True)}
    ran.clear()
    np.testing.assert_array_equal(Predictor.open(tmp_path / "net", fuse=False).labels(image), labels)
    np.testing.assert_array_equal(Predictor.open(net, fuse=False).labels(image), labels)
    assert ran == {(Graph, True, True), (Graph, False, True)}
    assert not minifcn.load(tmp_path / "net")[0].parameters()["conv1_1.weight"].prepared


def test_weights_are_frozen_while_a_data_set_is_scored_and_no_longer(scenes, rng, ran):
    net, dataset = noisy_net(rng), open_dataset(f"folder:{scenes}", "val")
    net["conv1_1"].bias.freeze()
    score(Predictor(net), dataset)
    assert ran == {(FusedGraph, True, True)}
    assert [name for name, p in net.parameters().items() if p.prepared is not None] == ["conv1_1.bias"]  # as before
    with pytest.raises(ValueError, match="expected a network of 3 classes"):
        score(Predictor(minifcn.models.build("fcn8s", num_classes=5, width=1 / 64)), dataset)
    net["conv1_1"].weight.data += 1


@pytest.mark.parametrize(("options", "expected"), [
    ([], (FusedGraph, True, True)),
    (["--no-fuse"], (Graph, True, True)),
    (["--no-winograd"], (FusedGraph, True, False)),
])
def test_the_command_line(scenes, rng, tmp_path, ran, capsys, options, expected):
    minifcn.save(tmp_path / "net", noisy_net(rng))
    image = scenes / "val" / "images" / "0.png"
    assert cli.main(["predict", str(tmp_path / "net"), str(image), "--out", str(tmp_path), *options]) == 0
    assert ran == {expected}
    ran.clear()
    assert cli.main(["evaluate", str(tmp_path / "net"), "--data", f"folder:{scenes}", "--json", *options]) == 0
    assert ran == {expected}


def test_train_takes_the_same_options(scenes, tmp_path, ran, capsys):
    assert cli.main(["train", "--data", f"folder:{scenes}", "--width", "0.02", "--batch-size", "2", "--iterations", "1",
                     "--evaluations", "1", "--out", str(tmp_path), "--no-fuse", "--no-winograd"]) == 0
    assert {(kind, allowed) for kind, _, allowed in ran} == {(Graph, False)}
