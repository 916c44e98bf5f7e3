from __future__ import annotations

import io
import math

import pytest

from loss_loggers import ConsoleLogger


def test_a_line_comes_every_n_steps() -> None:
    stream = io.StringIO()
    logger = ConsoleLogger(every=10, stream=stream)

    for step in range(21):
        logger.log_metrics({"loss/G": 1.0, "weight/G": 0.5}, step=step)

    assert stream.getvalue() == (
        "step       0 | G    1.0000 w 0.500\n"
        "step      10 | G    1.0000 w 0.500\n"
        "step      20 | G    1.0000 w 0.500\n"
    )


@pytest.mark.parametrize("loss", [0.0, 1e-12, 0.5, -0.5, 123.456, 1e7, math.nan, math.inf])
def test_lines_keep_their_width(loss: float) -> None:
    stream = io.StringIO()
    logger = ConsoleLogger(every=1, stream=stream)

    logger.log_metrics({"loss/G": loss, "loss/D": 1.0}, step=123)

    assert len(stream.getvalue()) == len("step     123 | G    1.0000 | D    1.0000\n")


def test_nan_and_infinity_are_seen() -> None:
    stream = io.StringIO()

    ConsoleLogger(stream=stream).log_metrics({"loss/G": math.nan, "loss/D": -math.inf}, step=0)

    assert stream.getvalue() == "step       0 | G       nan | D      -inf\n"


def test_lines_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    ConsoleLogger().log_metrics({"loss/G": 0.5, "phase": "warm"}, step=0)

    assert capsys.readouterr().err == "step       0 | G    0.5000 | phase warm\n"


def test_trackers_that_share_a_bar_all_stand_behind_it() -> None:
    tqdm = pytest.importorskip("tqdm", reason="needs tqdm")
    bar = tqdm.tqdm(total=2, file=io.StringIO())
    logger = ConsoleLogger(every=1, bar=bar)

    logger.log_metrics({"loss/G": 0.5, "weight/G": 0.25}, step=0)
    logger.log_metrics({"loss/D": 1.5}, step=0)

    assert str(bar).endswith("G=0.5000 w 0.250, D=1.5000]")
    bar.close()


def test_a_loss_and_a_number_may_share_a_name() -> None:
    stream = io.StringIO()

    ConsoleLogger(stream=stream).log_metrics({"lr": 0.1, "loss/lr": 0.5}, step=0)

    assert stream.getvalue() == "step       0 | value/lr    0.1000 | lr    0.5000\n"


def test_never_is_not_an_interval() -> None:
    with pytest.raises(ValueError, match="every must be a whole number of steps, 1 or more, got 0"):
        ConsoleLogger(every=0)


def test_names_cannot_speak_to_the_terminal() -> None:
    stream = io.StringIO()

    ConsoleLogger(every=1, stream=stream).log_metrics({"loss/\x1b[2J\nG": 0.5}, step=0)

    assert stream.getvalue() == "step       0 | \\x1b[2J\\nG    0.5000\n"
