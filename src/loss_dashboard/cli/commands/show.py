"""`losses show`: the rows around a step."""

from typing import TYPE_CHECKING, Any

import click

from loss_dashboard.cli._common import fail, json_option, run_argument, run_at, say, say_json

if TYPE_CHECKING:
    from loss_dashboard.alerts.around import Around, Cell


@click.command()
@run_argument("run")
@click.option("--step", type=int, help="Around which; by default the last one.")
@click.option(
    "--around", type=click.IntRange(0), default=10, help="So many recorded steps on each side."
)
@json_option
def show(run: str, step: int | None, around: int, as_json: bool) -> None:
    """Show the rows around a step: all losses with their weights, and your own numbers.

    NaNs and spikes stand out. If the step was not recorded, it is the nearest one.

    RUN is a path, a name in runs/ or `latest`.
    """
    from loss_dashboard.alerts.around import rows_around
    from loss_dashboard.reading import RunReader

    reader = RunReader(run_at(run), columns=())
    rows = rows_around(reader, step, around)
    if rows is None:
        fail(f"{reader.name} has no rows yet")
    if as_json:
        say_json({"run": reader.name, **_as_json(rows)})
    else:
        _print(rows, asked=step)


def _print(rows: "Around", asked: int | None) -> None:
    from loss_dashboard.terminal.around_table import LEGEND, around_tables
    from loss_dashboard.terminal.tables import stdout

    if asked is not None and asked != rows.step:
        say(f"step {asked} was not recorded; the nearest one is {rows.step}")
    console = stdout()
    for lines in around_tables(rows, console.width):
        console.print(lines)
    say(LEGEND)


def _as_json(rows: "Around") -> dict[str, Any]:
    return {
        "step": rows.step,
        "rows": [
            {
                "step": step,
                "losses": [_loss(name, cells[name]) for name in rows.losses if name in cells],
                "numbers": [
                    {"name": name, "value": cells[name].value, "mark": cells[name].mark or None}
                    for name in rows.numbers
                    if name in cells
                ],
            }
            for step, cells in rows.rows.items()
        ],
    }


def _loss(name: str, cell: "Cell") -> dict[str, Any]:
    from loss_dashboard.terminal.as_json import known

    return {
        "name": name,
        "loss": cell.value,
        "weight": known(cell.weight),
        "mark": cell.mark or None,
    }
