"""The GPU's results as a table for people and as JSON for programs, and the verdict on each row."""

from typing import Any

from minifcn.progress import clock

from .gpu_rows import COPY, RATIO
from .report import aligned, error_text, inexact, ms_text, number_text, ratio_text, table

COLUMNS = ("row", "N", "ours ms", "spread %", "PyTorch ms", "other ms", "TF32 ms", "ratio", "best", "verdict",
           "floor ms", "x floor", "GFLOP/s", "% sgemm", "GB/s", "% copy", "error", "its error", "wall ms", "its wall",
           "turns")
WIDTHS = (66, 2, 9, 6, 9, 18, 9, 6, 6, 22, 9, 6, 7, 6, 6, 5, 8, 8, 9, 9, 3)
WORDS = (0, 9)
OTHERS = {"channels_last": "cl", "fused": "fu"}  # what stands behind a time of "other ms"
FAILED = "FAILED"

HOW_TO_READ = """\
How to read it. ours ms, PyTorch ms: a call by the device's clock, the median of turns in which both take part, float32
on both sides (PyTorch with TF32 off, cudnn.benchmark on: it tries cuDNN's algorithms first, and deterministic off; ours
gives the same bits each time). Calls are queued behind a copy of 3 ms, so Python's time is hidden; * where the device
had to wait for it all the same. wall ms: a call with its Python, one after the other, then the wait for the device.
spread: what the same version of ours, timed twice in the same turns, differs by: less than that is noise. other ms:
PyTorch in channels_last (cl) or with the fused update (fu), float32 too. TF32 ms: PyTorch with TF32 on, whose products
have 10 bits; in no ratio. ratio: PyTorch's default over ours; best: the better of its float32 times over ours. floor:
the larger of the operations over the matrix product's measured rate and the bytes (each array once) over the large
copy's; of a whole network the operations alone, those of the direct algorithm. % copy: held to a copy of as many bytes
in the same turns. error: ||found - exact|| / ||exact||, the worst of a row's results, exact being PyTorch's in float64;
of a training step that of loss and gradients, without dropout.

Aims: best at least {ratio:g}; where memory is the limit, % copy at least {copy:g}. verdict: "ok", or BELOW with what is
missed; (noise) where the miss is smaller than the spread; INEXACT, which no speed makes good, where the error is more
than 1e-5 (where Winograd may be used), than 1.5 times PyTorch's (elsewhere), or of a step than 1e-4 and 3 times
PyTorch's."""


def judged(result: dict[str, Any]) -> dict[str, Any]:
    """A result with ratios, verdict and shares of the limits worked out from what was measured."""
    result = dict(result)
    ours, limits = result["ours_ms"], result["limits"]
    result["spread"] = abs(result["again_ms"] / ours - 1)
    result["ratio"] = result["peers_ms"]["default"] / ours
    result["best_ratio"] = min(result["peers_ms"].values()) / ours
    result["floor_ms"] = max(result["flops"] / limits["sgemm_gflops"], result["moved"] / limits["copy_gbs"]) / 1e6
    result["times_floor"] = ours / result["floor_ms"] if result["floor_ms"] else None
    if result["flops"]:
        result["gflops"] = result["flops"] / ours / 1e6
        result["percent_of_sgemm"] = 100 * result["gflops"] / limits["sgemm_gflops"]
    if result["moved"]:
        result["gbs"] = result["moved"] / ours / 1e6
    if result["traffic"]:
        result["percent_of_copy"] = 100 * result["copy_ms"] / ours
    result["verdict"] = verdict(result)
    return result


def verdict(result: dict[str, Any]) -> str:
    """"ok", or which aims are missed."""
    if inexact(result):
        return "INEXACT"
    aims = {"PyTorch": (result["best_ratio"], RATIO), "copy": (result.get("percent_of_copy"), COPY)}
    missed = {name: value / aim for name, (value, aim) in aims.items() if value is not None and not value >= aim}
    if not missed:
        return "ok"
    noise = " (noise)" if min(missed.values()) > 1 - result["spread"] else ""
    return f"BELOW {', '.join(missed)}{noise}"


def failure(title: str, batch: int, why: str) -> dict[str, Any]:
    """A row that could not be measured."""
    return {"title": title, "batch": batch, "verdict": FAILED, "why": why}


def short(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows that miss an aim: wrong or failed ones first, then the furthest from theirs."""
    def distance(result: dict[str, Any]) -> tuple:
        known = "best_ratio" in result and result["verdict"] != "INEXACT"
        return known, min(result["best_ratio"], result.get("percent_of_copy", COPY) / COPY) if known else 0

    return sorted((result for result in results if result["verdict"] != "ok"), key=distance)


def cells(result: dict[str, Any]) -> list[str]:
    """One line of the table, cell by cell."""
    name, batch = result["title"], str(result["batch"])
    if result["verdict"] == FAILED:
        return [name, batch, *[""] * 7, FAILED, *[""] * 11]
    peers, walls = result["peers_ms"], result["wall_ms"]
    others = " ".join(f"{ms_text(peers[kind])}{mark}" for kind, mark in OTHERS.items() if kind in peers)
    waited = dict.fromkeys(result["waited"], "*")
    return [
        name, batch, ms_text(result["ours_ms"]) + waited.get("ours", ""), number_text(100 * result["spread"]),
        ms_text(peers["default"]) + waited.get("default", ""), others, ms_text(result["tf32_ms"]),
        ratio_text(result["ratio"]), ratio_text(result["best_ratio"]), result["verdict"],
        ms_text(result["floor_ms"]), number_text(result["times_floor"]),
        number_text(result.get("gflops")), number_text(result.get("percent_of_sgemm")),
        number_text(result.get("gbs")), number_text(result.get("percent_of_copy")),
        error_text(result["error"]), error_text(result["peer_error"]),
        ms_text(walls["ours"]), ms_text(walls["default"]), str(result["turns"]),
    ]


def line(result: dict[str, Any]) -> str:
    """The same for a terminal, while the benchmark runs."""
    return aligned(cells(result), WIDTHS, WORDS)


def heading() -> str:
    return aligned(["row", "N", "ours ms", "spread", "PyTorch", "other ms", "TF32", "ratio", "best", "", "floor", "x",
                    "GFLOP/s", "%sgemm", "GB/s", "%copy", "error", "its", "wall", "its wall", "n"], WIDTHS, WORDS)


def summary(report: dict[str, Any]) -> list[str]:
    """How many rows reach their aims, each one that does not, and what was not measured."""
    results = report["rows"]
    missed = short(results)
    text = [f"{len(results) - len(missed)} of {len(results)} measured rows reach their aims."]
    if report["left"]:
        text.append(f"Not measured, for lack of time: {len(report['left'])} rows of "
                    f"{len(report['left']) + len(results)}, from {report['left'][0]} on.")
    for result in missed:
        text.append(f"  {result['verdict']}: {result['title']}, N = {result['batch']}{_why(result)}")
    return text


def _why(result: dict[str, Any]) -> str:
    if result["verdict"] == FAILED:
        return f": {result['why']}"
    if result["verdict"] == "INEXACT":
        return f": error {result['error']:.1e} of {result['allowed_error']:.1e}"
    copy = f", {result['percent_of_copy']:.0f} % of a copy" if "percent_of_copy" in result else ""
    return f": {result['best_ratio']:.2f} times PyTorch's best{copy}, spread {100 * result['spread']:.1f} %"


def limit_lines(report: dict[str, Any]) -> list[str]:
    """The card's measured limits, at the beginning and, as clocks move, at the end."""
    named = {"limits": "at the beginning", "limits_at_end": "at the end"}
    return [f"{when}: copy {limits['copy_gbs']:.0f} GB/s (read and written), matrix product "
            f"{limits['sgemm_gflops']:.0f} GFLOP/s in float32, {limits['tf32_gflops']:.0f} in TF32"
            for key, when in named.items() if (limits := report.get(key))]


def markdown(report: dict[str, Any]) -> str:
    """The whole report as a page."""
    kind = "" if report["whole"] else ": a part"
    facts = [*report["about"], *limit_lines(report), f"measured in {clock(report['seconds'])}"]
    parts = [f"# GPU benchmark, {report['date']}{kind}", "", *(f"- {text}" for text in facts), "",
             *(text.replace("  ", "- ", 1) for text in summary(report)), "",
             *table(COLUMNS, [cells(result) for result in report["rows"]]), "",
             HOW_TO_READ.format(ratio=RATIO, copy=COPY), ""]
    return "\n".join(parts)
