"""The results as a table for people and as JSON for programs, and the verdict on each row."""

import json
from typing import Any

from minifcn.progress import clock

COLUMNS = ("row", "N", "threads", "ours ms", "PyTorch ms", "other ms", "ratio", "best", "bar (aim)", "verdict",
           "GFLOP/s", "% peak", "GB/s", "% copy", "error", "its error", "turns")
WIDTHS = (66, 2, 2, 9, 9, 18, 6, 6, 9, 7, 7, 5, 6, 5, 8, 9, 3)
WORDS = (0, 9)
OTHERS = {"channels_last": "cl", "fused": "fu", "onnxruntime": "ort"}  # what stands behind a time of "other ms"

NOT_MEASURED = """\
How to read it. PyTorch ms: by default, on the same arrays. other ms: PyTorch in channels_last (cl) or with the fused
update (fu), ONNX Runtime (ort, not in any ratio). ratio: PyTorch's default time over ours; best: the better of its
times over ours. verdict: "ok" if both reach the bar, "default" if only the first does, BELOW if neither; INEXACT if the
error is more than 1e-5 (where Winograd may be used) or than PyTorch's (elsewhere). GFLOP/s: of the direct algorithm, so
Winograd may exceed the peak. GB/s: what must be moved at least, held to a copy of as many bytes in the same turns.
error: against float64, relative to the largest number. turns: how often each side was measured; fewer than 7 where one
call takes over 2 s. ~: extrapolated from a much smaller size.

Not measured: float16 and bfloat16, more than these threads, torch.compile (it needs a C++ compiler at run time),
PyTorch with weights reordered ahead of time, data loading, compilation and other costs of the first call, energy."""


def verdict(ratio: float | None, best: float | None, bar: float | None) -> str:
    """Whether the bar is reached against PyTorch's default and against its best: "ok" (both), "default", "BELOW".

    Nothing without a bar or a peer.
    """
    if ratio is None or best is None or bar is None:
        return ""
    return "ok" if best >= bar else "default" if ratio >= bar else "BELOW"


def inexact(result: dict[str, Any]) -> bool:
    """Whether the error is larger than allowed. One that is no number is."""
    return result["error"] is not None and not result["error"] <= result["allowed_error"]


def judged(result: dict[str, Any]) -> dict[str, Any]:
    """A result with ratio, verdict and shares of the limits worked out from what was measured."""
    result = dict(result)
    peers = {name: ms for name, ms in result["peers_ms"].items() if name != "onnxruntime"}
    ours = result["ours_ms"]
    result["ratio"] = peers["default"] / ours if peers else None
    result["best_ratio"] = min(peers.values()) / ours if peers else None
    result["verdict"] = verdict(result["ratio"], result["best_ratio"], result["bar"])
    if inexact(result):
        result["verdict"] = (result["verdict"] + " INEXACT").strip()
    if result["flops"]:
        result["gflops"] = result["flops"] / ours / 1e6
        result["percent_of_peak"] = 100 * result["gflops"] / result["peak_gflops"]
    if result["traffic"]:
        result["gbs"] = result["traffic"] / ours / 1e6
        result["percent_of_copy"] = 100 * result["copy_ms"] / ours
    return result


def below(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that miss their bar against PyTorch's best or its default, or are not exact enough."""
    return [result for result in results if result["verdict"] not in ("", "ok")]


def cells(result: dict[str, Any]) -> list[str]:
    """One line of the table, cell by cell."""
    bar, aim, turns = result["bar"], result["aim"], result["turns"]
    peers = result["peers_ms"]
    others = " ".join(f"{ms_text(peers[name])}{short}" for name, short in OTHERS.items() if name in peers)
    folders = "; ".join(f"{name} {ms_text(ms)} ms" for name, ms in result.get("folders_ms", {}).items())
    return [
        result["title"] + (f" ({folders})" if folders else ""), str(result["batch"]), str(result["threads"]),
        ms_text(result["ours_ms"]), ms_text(peers.get("default")), others,
        ratio_text(result["ratio"]), ratio_text(result["best_ratio"]),
        "" if bar is None else f"{bar:g} ({aim:g})" if aim else f"{bar:g}",
        result["verdict"], number_text(result.get("gflops")), number_text(result.get("percent_of_peak")),
        number_text(result.get("gbs")), number_text(result.get("percent_of_copy")),
        error_text(result["error"]), error_text(result["peer_error"]), str(turns),
    ]


def line(result: dict[str, Any]) -> str:
    """The same for a terminal, while the benchmark runs."""
    return aligned(cells(result))


def heading() -> str:
    return aligned(["row", "N", "t", "ours ms", "PyTorch", "other ms", "ratio", "best", "bar (aim)", "", "GFLOP/s",
                     "%peak", "GB/s", "%copy", "error", "PyTorch's", "n"])


def summary(results: list[dict[str, Any]], memory: list[dict[str, Any]]) -> list[str]:
    judged_rows = [r for r in [*results, *memory] if r["verdict"]]
    short = below([*results, *memory])
    default = [r for r in short if r["verdict"] == "default"]
    text = [f"{len(judged_rows) - len(short)} of {len(judged_rows)} rows with a bar reach it; {len(default)} more do "
            f"against PyTorch's default only."]
    for r in short:
        against = f": {r['ratio']:.2f} (best {r['best_ratio']:.2f}) of {r['bar']:g}" if r["ratio"] and r["bar"] else ""
        text.append(f"  {r['verdict']}: {r['title']}, N = {r['batch']}, {r['threads']} threads{against}")
    return text


def memory_lines(memory: list[dict[str, Any]]) -> list[str]:
    return [f"{r['title']}, N = {r['batch']}: ours {r['ours_mib']:.0f} MiB, PyTorch {r['peer_mib']:.0f} MiB, ratio "
            f"{r['ratio']:.2f} of {r['bar']:g} {r['verdict']}" if r["ratio"] else
            f"{r['title']}, N = {r['batch']}: ours {r['ours_mib']:.0f} MiB" for r in memory]


def markdown(report: dict[str, Any], machine: list[str]) -> str:
    """The whole report as a page."""
    limits = [f"{threads} thread{'s' if int(threads) > 1 else ''}: {peak:.0f} GFLOP/s from registers, copy of 256 MiB "
              f"{report['copy_gbs'][threads]:.1f} GB/s" for threads, peak in report["peak_gflops"].items()]
    memory = ["Peak memory of a training step, less what import alone takes:", "",
              *(f"- {text}" for text in memory_lines(report["memory"]))] if report["memory"] else []
    parts = [f"# CPU benchmark, {report['date']}", "", *(f"- {text}" for text in [*machine, *limits]),
             f"- measured in {clock(report['seconds'])}", "",
             *(text.replace("  ", "- ", 1) for text in summary(report["rows"], report["memory"])), "",
             *table(COLUMNS, [cells(result) for result in report["rows"]]), "", *memory, "", NOT_MEASURED, ""]
    return "\n".join(parts)


def as_json(report: dict[str, Any]) -> bytes:
    return (json.dumps(report, indent=1) + "\n").encode()


def ratio_text(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def ms_text(value: float | None) -> str:
    if value is None:
        return ""
    if value < 0.1:
        return f"{value:.4f}"
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def number_text(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def error_text(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"


def aligned(texts: list[str], widths: tuple[int, ...] = WIDTHS, words: tuple[int, ...] = WORDS) -> str:
    """A line for a terminal; the columns of `words` begin on the left, as numbers end on the right."""
    return " ".join(f"{text:<{width}}" if column in words else f"{text:>{width}}"
                    for column, (text, width) in enumerate(zip(texts, widths, strict=True)))


def table(columns: tuple[str, ...], lines: list[list[str]]) -> list[str]:
    """A table for a page."""
    return ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns),
            *("| " + " | ".join(line) + " |" for line in lines)]
