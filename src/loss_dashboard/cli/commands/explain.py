"""`losses explain`: what of a run deserves a look, in one to three sentences."""

import click

from loss_dashboard.cli._common import json_option, run_argument, run_at, say, say_json


@click.command()
@run_argument("run")
@json_option
def explain(run: str, as_json: bool) -> None:
    """Say in one to three sentences what of a run deserves a look, with numbers and steps.

    RUN is a path, a name in runs/ or `latest`.
    """
    from loss_dashboard.alerts import explain as explained_of
    from loss_dashboard.alerts import text_of
    from loss_dashboard.reading import RunReader

    reader = RunReader(run_at(run), columns=())
    explained = explained_of(reader)
    if as_json:
        say_json(
            {
                "run": reader.name,
                "state": reader.state,
                "text": text_of(reader, explained),
                "findings": [alert._asdict() for alert in explained],
            }
        )
    else:
        say(text_of(reader, explained))
