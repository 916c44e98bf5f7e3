from __future__ import annotations

import io
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch
from rich.console import Console

from loss_dashboard.cli.commands.demo import METHODS, PROBLEMS
from loss_dashboard.demo import run_demo, train
from loss_dashboard.demo._autoencoder import AdversarialAutoencoder
from loss_dashboard.demo._pinn import Pinn
from loss_dashboard.demo._run import WEIGHTINGS
from loss_loggers import read_run
from multi_loss_weighting import LossGroup

from .forked import end, start
from .loggers.delivery.http_backend import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("sklearn", reason="the demo trains on its digits")
pytest.importorskip("matplotlib", reason="the demo draws")

STEPS = 30


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    threads = torch.get_num_threads()
    with torch.random.fork_rng():
        yield
    torch.set_num_threads(threads)


def demo(
    out: Path, weighting: str = "cov", steps: int = STEPS, seed: int = 0, problem: str = "gan"
) -> str:
    printed = io.StringIO()
    assert run_demo(problem, weighting, steps, seed, out, Console(file=printed, width=1000))
    return printed.getvalue()


def numbers(folder: Path) -> list[list[str]]:
    """The cells of the record, but for the time."""
    lines = (folder / "losses.csv").read_text().splitlines()
    return [[cell for i, cell in enumerate(line.split(",")) if i != 1] for line in lines]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_recorded_and_drawn(tmp_path: Path, method: str) -> None:
    printed = demo(tmp_path / "run", method)

    run = read_run(tmp_path / "run")
    assert run.info["state"] == "finished"
    assert all(len(run[name]["step"]) == STEPS for name in "GDE")
    assert all(run[name]["weight"].min() > 0 for name in "GDE")
    assert (tmp_path / "run/losses.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "run/digits.png").read_bytes().startswith(b"\x89PNG")
    assert f"{STEPS}/{STEPS}" in printed


@pytest.mark.parametrize(
    ("problem", "names", "picture"),
    [
        ("vae", ["recon", "kl"], "digits.png"),
        ("pinn", ["equation", "boundary"], "solution.png"),
    ],
)
def test_every_problem_is_recorded_and_drawn_and_says_what_is_next(
    tmp_path: Path, problem: str, names: list[str], picture: str
) -> None:
    usual, _ = PROBLEMS[problem]

    printed = demo(tmp_path / "run", usual, problem=problem)

    run = read_run(tmp_path / "run")
    assert [*run] == [*names, "total"]
    assert all(len(run[name]["step"]) == STEPS for name in names)
    assert all(run[name]["weight"].std() > 0 for name in names[1:])
    assert (tmp_path / "run" / picture).read_bytes().startswith(b"\x89PNG")
    assert f"demo --problem {problem} --weighting sum" in printed


def test_a_pinn_learns_more_by_its_gradients_than_by_the_plain_sum() -> None:
    errors = {}
    for weighting in ("sum", "gradients"):
        torch.manual_seed(0)
        problem = Pinn()
        group = LossGroup([*problem.static], weighting=WEIGHTINGS[weighting](problem))
        for _ in train(problem, group, 300):
            pass
        (errors[weighting],) = problem.quality().values()

    assert errors["gradients"] < errors["sum"] / 2


@pytest.mark.parametrize("method", ["automatic", "uncertainty", "cov"])
def test_weights_move_where_a_method_moves_them(tmp_path: Path, method: str) -> None:
    demo(tmp_path / "run", method)

    run = read_run(tmp_path / "run")
    assert all(run[name]["weight"].std() > 0 for name in "GDE")


def test_the_same_seed_gives_the_same_numbers(tmp_path: Path) -> None:
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        demo(tmp_path / name, seed=seed)

    assert numbers(tmp_path / "first") == numbers(tmp_path / "again")
    assert numbers(tmp_path / "first") != numbers(tmp_path / "other")
    settings = [read_run(tmp_path / name).info["hyperparameters"] for name in ("first", "other")]
    assert [own["seed"] for own in settings] == [0, 1]


def test_the_network_learns(tmp_path: Path) -> None:
    demo(tmp_path / "run", steps=200)

    error = read_run(tmp_path / "run")["E"]["loss"]
    assert error[-20:].mean() < error[0] / 4


def test_a_run_is_never_overwritten(tmp_path: Path) -> None:
    demo(tmp_path / "run")
    before = (tmp_path / "run/losses.csv").read_bytes()

    printed = demo(tmp_path / "run")

    assert (tmp_path / "run/losses.csv").read_bytes() == before
    assert len(read_run(tmp_path / "run-2")["G"]["step"]) == STEPS
    assert "run-2" in printed


def test_each_player_gets_the_gradient_of_its_own_loss() -> None:
    model = AdversarialAutoencoder()
    losses = model(torch.rand(16, 64))

    losses["G"].backward(retain_graph=True)
    assert all(weight.grad is None for weight in model.discriminator.parameters())
    assert all(weight.grad is not None for weight in model.encoder.parameters())

    model.zero_grad()
    losses["D"].backward()
    assert all(weight.grad is None for weight in model.encoder.parameters())
    assert all(weight.grad is not None for weight in model.discriminator.parameters())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_ctrl_c_ends_it_with_everything_recorded(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    options = ("--steps", "1000000", "--out", str(folder))
    process = start("loss_dashboard", "demo", *options, said=tmp_path / "said")
    until(lambda: _lines(folder / "losses.csv") > 100, seconds=300)
    process.send_signal(signal.SIGINT)
    code = end(process, 300)
    printed = (tmp_path / "said").read_text(encoding="utf-8")

    assert code == 130
    run = read_run(folder)
    assert run.info["state"] == "finished"
    steps = [len(run[name]["step"]) for name in ("G", "D", "E", "total")]
    assert len(set(steps)) == 1
    assert f"Stopped by Ctrl-C after {steps[0]} of 1000000 steps" in printed
    assert "weight" in printed
    assert "\x1b" not in printed, "a file gets no control codes"
    assert (folder / "losses.png").exists()


def _lines(path: Path) -> int:
    return len(path.read_bytes().splitlines()) if path.exists() else 0


@pytest.mark.parametrize("missing", ["torch", "sklearn", "matplotlib"])
def test_a_missing_extra_is_one_line(tmp_path: Path, missing: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None; from loss_dashboard.cli.losses import app;"
        f" app(['demo', '--out', {str(tmp_path / 'run')!r}])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == f"demo needs {missing}: pip install 'multi-loss-weighting[demo]'\n"
    assert not done.stdout
    assert not (tmp_path / "run").exists()
