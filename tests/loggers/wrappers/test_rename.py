from __future__ import annotations

import pytest

from loss_loggers import MemoryLogger, Rename


def test_the_names_of_the_old_dashboards_come_back() -> None:
    memory = MemoryLogger()
    row = dict.fromkeys(["loss/G", "cov/G", "cov_weight/G", "var/G", "std/G"], 1.0)

    Rename("{loss}_{stat}", memory).log_metrics(row, step=0)

    assert list(memory.rows[0][2]) == ["G_loss", "G_cov", "G_cov_weight", "G_var", "G_std"]


def test_the_first_slash_splits() -> None:
    memory = MemoryLogger()

    Rename("{loss}.{stat}", memory).log_metrics({"loss/val/G": 1.0, "lr": 0.5}, step=0)

    assert list(memory.rows[0][2]) == ["val/G.loss", "lr"]


def test_batches_keep_their_times() -> None:
    memory = MemoryLogger()

    Rename("{loss}_{stat}", memory).log_rows([(3, 12.5, {"loss/G": 1.0})])

    assert memory.rows == [(3, 12.5, {"G_loss": 1.0})]


@pytest.mark.parametrize("template", ["", "{}", "{name}", "{loss", "{loss.x}", "loss"])
def test_a_template_that_cannot_name_is_an_error(template: str) -> None:
    with pytest.raises(ValueError, match=r"a template has \{stat\} and \{loss\} in it"):
        Rename(template, MemoryLogger())


@pytest.mark.parametrize("second", ["loss/D", "loss"])
def test_two_metrics_with_one_name_are_an_error(second: str) -> None:
    logger = Rename("{stat}", MemoryLogger())
    logger.log_metrics({"loss/G": 1.0}, step=0)

    with pytest.raises(ValueError, match=f"'loss/G' and '{second}' both become 'loss'"):
        logger.log_metrics({second: 1.0}, step=0)
