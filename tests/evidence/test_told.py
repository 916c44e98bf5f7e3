"""What other pages say of the evidence is what the results file says."""

from __future__ import annotations

import json
import re
from pathlib import Path

from evidence.report.tables import verdicts

TOP = Path(__file__).parents[2]
RESULTS = json.loads((TOP / "evidence" / "results.json").read_text(encoding="utf-8"))
ROWS = {
    "EqualWeighting": "equal",
    "StaticWeighting": "constant",
    "NormalizedWeighting": "normalized",
    "GradientShareWeighting": "shares",
    "TargetWeighting": "target",
    "UncertaintyWeighting": "uncertainty",
    "AutomaticWeightedLoss": "automatic",
    "CoVWeighting": "cov",
    "TorchJDWeighting": "dwa",
}


def test_the_readme_counts_wins_ties_and_losses_as_they_are() -> None:
    text = (TOP / "README.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(\w+)\(.*\| (?:DWA )?(\d+ / \d+ / \d+) \|$", text, re.MULTILINE))

    counted = {name: verdicts(RESULTS, method) for name, method in ROWS.items()}
    assert told == {
        name: f"{one['win']} / {one['tie']} / {one['loss']}" for name, one in counted.items()
    }
    assert f"trains {len(RESULTS['problems'])} small problems" in text
    assert f"with {len(RESULTS['methods'])} ways to weigh" in text


def test_the_page_on_weightings_says_how_often_the_diagnosis_was_right() -> None:
    page, weightings = (
        " ".join((TOP / "docs" / name).read_text(encoding="utf-8").split())
        for name in ("evidence.md", "weightings.md")
    )
    bounds, advice = re.findall(r"by its \w+ (\d+) hits, (\d+) misses", page)

    assert "right on {} of them and wrong on {};".format(*bounds) in weightings
    assert "what it tells you to try was right on {} and wrong on {}".format(*advice) in weightings
