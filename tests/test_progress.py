"""What a person sees meanwhile: plain lines for files, a bar on a terminal, averages in both."""

import io
import re

import pytest

from minifcn import progress
from minifcn.progress import Live, Plain, Progress, Recent, clock, for_this_terminal


def test_the_base_says_nothing(capsys):
    with Progress() as quiet:
        quiet.start("training", 3)
        quiet.update(1, loss="1.0")
        quiet.say("something")
    assert capsys.readouterr() == ("", "")


def test_plain_lines_every_few_seconds(monkeypatch):
    now, out = [0.0], io.StringIO()
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    with Plain(out) as plain:
        plain.start("training", 10, 2)  # two of them were made before
        for done, now[0] in ((3, 1.0), (4, 6.0), (5, 6.5), (7, 20.0), (10, 20.5)):
            plain.update(done, loss=f"{1 / done:.2f}")
        plain.say("well")
    assert out.getvalue().splitlines() == [
        "training 4/10  loss 0.25  0:18 left",  # 2 in 6 seconds, 6 to go
        "training 7/10  loss 0.14  0:12 left",
        "training 10/10  loss 0.10  0:00 left",  # the last one is always said
        "well",
    ]


def test_on_a_terminal_there_is_a_bar(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    chosen = for_this_terminal()
    assert isinstance(chosen, Live)
    with chosen as live:
        for title in ("training", "evaluating"):
            live.start(title, 4, 1)
            live.update(2, loss="0.5")
        assert live.bar.tasks[0].completed == 2
        assert live.bar.tasks[0].fields["facts"] == "loss 0.5"
        assert [task.description for task in live.bar.tasks] == ["evaluating"]
        live.say("a [b] path [/c]")  # not rich's markup
    output = capsys.readouterr()
    assert "a [b] path [/c]" in output.err
    assert output.out == ""  # standard output is for results
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    assert isinstance(for_this_terminal(), Plain)


@pytest.mark.parametrize(("columns", "shown"), [(80, "loss 0.1628  acc 0.941  mIoU 0.840  img/s 36.1"),
                                                 (130, "loss 0.1628  accuracy 0.941  mean IoU 0.840  images/s 36.1")])
def test_a_line_fits_its_terminal(monkeypatch, capsys, columns, shown):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal then
    facts = {"loss": "0.1628", "accuracy": "0.941", "mean IoU": "0.840", "images/s": "36.1"}
    with Live() as live:
        live.start("training", 12345)
        live.update(10000, **facts)
    line = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err).splitlines()[-1]
    assert shown in line
    assert "10000/12345" in line
    assert line.rstrip().endswith("left")  # nothing was cut off
    assert len(line) <= columns


def test_closing_a_bar_that_never_began():
    Live().close()


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (5.4, "0:05"), (59.6, "1:00"), (65, "1:05"),
                                               (3600, "1:00:00"), (7384, "2:03:04")])
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_averages_over_the_last_steps():
    recent, span = Recent(), Recent.SPAN
    recent.add(100.0, 3, 3, 1.0)  # goes out of sight below
    for step in range(span):
        recent.add(step % 2, 1 + step % 2, 3, 4.0 if step % 3 else 0.01)  # one and two of three right, by turns
    assert recent.facts() == {"loss": "0.5000", "accuracy": "0.500", "mean IoU": "-", "images/s": "4.0"}
    recent.mean_iou = 0.12345
    assert recent.facts()["mean IoU"] == "0.123"


def test_only_void_is_no_division_by_zero():
    recent = Recent()
    recent.add(1.0, 0, 0, 1.0)
    assert recent.facts()["accuracy"] == "0.000"
