"""The gradient check itself: run the backward pass, probe, and put the two side by side."""

import math
from typing import Any

import numpy as np

from .differences import Prober, Probes
from .report import Array, GradientReport, TensorCheck, diagnose
from .subjects import Subject, is_float_output, on_device, on_host

DIRECTIONS = 3  # random directions through all tensors at once, where elements are only sampled
FLOOR = 1e-6  # times the largest gradient of all


def compare(
    subject: Subject, eps: float, tolerance: float, rng: np.random.Generator, samples: int | None,
) -> GradientReport:
    """Check every tensor of `subject`; see `minifcn.testing.check_gradients`."""
    before = {name: x.copy() for name, x in subject.inputs.items()}
    gys = [_random_like(y, rng) for y in subject.forward()]
    changed = [name for name, x in subject.inputs.items() if bool(((x != before[name]) & (x == x)).any())]
    if changed:
        hint = "forward writes into its input, which belongs to the caller. Compute on a copy."
        checks = [_nothing_to_compare(name, hint) for name in changed]
        return GradientReport(subject.name, tuple(checks), 0.0, tolerance)
    got = {name: _copied(gradient) for name, gradient in subject.gradients(gys).items()}
    second = {name: _copied(gradient) for name, gradient in subject.gradients(gys, again=True).items()}
    prober = Prober(subject, gys, eps)
    probes = {name: prober.elements(name, samples, rng) for name in subject.tensors}
    floor = FLOOR * max(float(np.abs(found.slopes).max(initial=0)) for found in probes.values())
    checks = []
    for name, array in subject.tensors.items():
        if got[name] is None and not probes[name].slopes.any():
            got[name] = second[name] = np.zeros(array.shape)  # None stands for zeros
        times = 2 if name in subject.accumulating else 1
        checks.append(_check_tensor(prober, name, probes[name], got[name], second[name], times, floor, tolerance))
    comparable = all(getattr(got[name], "shape", None) == array.shape for name, array in subject.tensors.items())
    if samples is not None and comparable:
        checks.append(_check_directions(prober, got, rng, floor))
    return GradientReport(subject.name, tuple(checks), floor, tolerance)


def _check_tensor(
    prober: Prober, name: str, probes: Probes, got: Array | None, second: Array | None, times: int,
    floor: float, tolerance: float,
) -> TensorCheck:
    """One tensor: its gradient against the probes, then the gradient after a second backward, `times` the first."""
    shape = prober.subject.tensors[name].shape
    problem = _problem(shape, probes, got, floor)
    if problem or got is None:
        return _nothing_to_compare(name, problem, probes)
    allowed = tolerance * max(float(np.abs(probes.slopes).max()), floor)
    prober.refine(name, probes, got[tuple(probes.places.T)], allowed)
    check = _check(name, shape, probes, got, floor, tolerance)
    return check if check.error > tolerance else _check_second(check, got, second, times)


def _check(
    name: str, shape: tuple[int, ...], probes: Probes, got: Array, floor: float, tolerance: float,
) -> TensorCheck:
    """The element that differs most, and a guess at the reason if that is too much."""
    slopes, count = probes.slopes, len(probes.slopes)
    picked = got[tuple(probes.places.T)]  # (count,)
    scale = max(float(np.abs(slopes).max()), floor)
    with np.errstate(invalid="ignore"):
        error = np.nan_to_num(np.abs(picked - slopes) / scale, nan=math.inf)
    worst = int(error.argmax())
    hint = ""
    if error[worst] > tolerance and count == got.size and np.isfinite(picked).all() and np.isfinite(slopes).all():
        hint = diagnose(got, slopes.reshape(shape), tolerance * scale)
    place = tuple(probes.places[worst].tolist())
    return TensorCheck(name, float(error[worst]), place, float(picked[worst]), float(slopes[worst]),
                       float(np.abs(slopes).max()), count, probes.kinks, hint)


def _problem(shape: tuple[int, ...], probes: Probes, got: Array | None, floor: float) -> str:
    """Why there is nothing to compare, or nothing at all."""
    if got is None:
        return "backward gives no gradient for it (None)."
    if got.shape != shape:
        return f"backward gives a gradient of shape {got.shape}, the tensor has {shape}."
    if not len(probes.slopes):
        return "Every probe of it crossed a kink. Use tie_free inputs, or other weights."
    if floor == 0:
        return "Every numerical gradient of every tensor is 0: nothing reaches the output, so nothing can be checked."
    return ""


def _nothing_to_compare(name: str, problem: str, probes: Probes | None = None) -> TensorCheck:
    count, kinks = (len(probes.slopes), probes.kinks) if probes else (0, 0)
    return TensorCheck(name, math.inf, (), math.nan, math.nan, 0.0, count, kinks, problem)


def _check_second(check: TensorCheck, got: Array, second: Any, times: int) -> TensorCheck:
    """After another forward and backward: a parameter's gradient has doubled, an input's is the same again."""
    wanted = times * got
    if second is not None and np.allclose(second, wanted, rtol=1e-9, atol=1e-9 * np.abs(wanted).max(initial=0)):
        return check
    difference = np.abs(wanted if second is None else second - wanted)
    place = np.unravel_index(int(difference.argmax()), got.shape)
    found = math.nan if second is None else float(second[place])
    rule = "a backward pass adds to the parameter's grad" if times == 2 else "the same forward gives the same gradient"
    return TensorCheck(check.name, math.inf, tuple(map(int, place)), found, float(wanted[place]), check.largest,
                       check.elements, check.kinks, f"This is after a second forward and backward: {rule}.")


def _check_directions(prober: Prober, got: dict[str, Any], rng: np.random.Generator, floor: float) -> TensorCheck:
    """All tensors moved at once along a few random directions: sees the elements that were not sampled."""
    found, expected, kinks = [], [], 0
    for _ in range(DIRECTIONS):
        along, slope, thrown = prober.direction(rng)
        kinks += thrown
        if slope is not None:
            found.append(sum(float((got[name] * along[name]).sum()) for name in along))
            expected.append(slope)
    places = np.arange(len(expected)).reshape(-1, 1)
    probes = Probes(places, np.array(expected), kinks)
    problem = _problem((len(found),), probes, np.array(found), floor)
    if problem:
        return _nothing_to_compare("directions", problem, probes)
    return _check("directions", (len(found),), probes, np.array(found), floor, tolerance=math.inf)  # inf: no diagnosis


def _random_like(y: Any, rng: np.random.Generator) -> Any:
    """gy for one output: random numbers, all different, for floats; None for anything else."""
    return on_device(rng.standard_normal(y.shape), y) if is_float_output(y) else None


def _copied(gradient: Any) -> Array | None:
    """On the host, and not the live array that a second backward would add to."""
    return None if gradient is None else np.array(on_host(gradient))
