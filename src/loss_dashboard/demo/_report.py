"""What came of the demo: the losses, what the network learned, and where to look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group

from loss_dashboard._hints import hints, short
from loss_dashboard._installed import how_to_install, what_first
from loss_dashboard.curves.numbers import figures
from loss_dashboard.terminal.tables import loss_table, table
from loss_dashboard.web import missing

if TYPE_CHECKING:
    from pathlib import Path

    from multi_loss_weighting import LossGroup

    from ._problem import Problem

CAUTION = "The weights are a method's choice, not a proven gain: compare methods."
OTHERS = {"gan": "pinn", "vae": "gan", "pinn": "vae"}


def results(
    group: LossGroup, problem: Problem, before: dict[str, float], after: dict[str, float]
) -> Group:
    """What the losses did, and what the network learned from them."""
    learned = table(problem.measured, "before", "after")
    for name, value in after.items():
        learned.add_row(name, figures(before[name]), figures(value))
    return Group("", loss_table(group), "", learned, "", CAUTION, "")


def where_next(folder: Path, name: str, weighting: str, picture: tuple[str, str]) -> str:
    """The files to look at and the commands to try."""
    other = "cov" if weighting == "sum" else "sum"
    contents = {"losses.png": "losses and weights", **dict([picture]), "losses.csv": "every step"}
    files = {short(folder / file): content for file, content in contents.items()}
    run = short(folder)
    served = f", after {how_to_install('dashboard')}" if missing() else ""
    watched = what_first("tui", "textual")
    commands = {
        f"losses serve {run} --open": f"all of it in the browser{served}",
        f"losses demo --problem {name} --serve --open": "the same, live while it trains",
        f"losses watch {run}": f"losses, weights and CoV in this terminal{watched}",
        f"losses plot {run} -o losses.svg": "the picture again, for a paper",
        f"losses demo --problem {name} --weighting {other}": "the same network, weighted otherwise",
        f"losses demo --problem {OTHERS[name]}": "another one",
        f"losses ls {short(folder.parent)}": "all runs",
        f'pandas.read_csv("{short(folder / "losses.csv")}")': "in Python: the record as a table",
    }
    return f"Written\n{hints(files)}\n\nNext\n{hints(commands)}"
