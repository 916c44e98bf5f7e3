"""What other pages say of the evidence is what the results file says."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
from evidence.report.findings import claims_by_advice, claims_by_bounds, same_answer
from evidence.report.published import PUBLISHED
from evidence.report.tables import comparisons, in_name, others, verdicts

from loss_loggers.alerts import FAR

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
    counts = r"(\d+ / \d+ / \d+(?: \(\d+\))?)"
    told = dict(re.findall(rf"^\| `(\w+)\(.*\| (?:DWA )?{counts} \|$", text, re.MULTILINE))

    assert told == {name: counted(verdicts(RESULTS, method)) for name, method in ROWS.items()}
    assert f"trains {len(RESULTS['problems'])} small problems" in text
    assert f"with {len(others(RESULTS))} ways to weigh" in text
    assert in_name(RESULTS) == [("klein_gordon", "normalized")]


def counted(one: Counter[str]) -> str:
    failed = f" ({one['both failed']})" if one["both failed"] else ""
    return f"{one['win']} / {one['tie']} / {one['loss']}{failed}"


def words_of(name: str) -> str:
    return " ".join((TOP / name).read_text(encoding="utf-8").split())


def ratio(problem: str, method: str) -> float:
    return comparisons(RESULTS, problem)[method].ratio


def test_pages_say_how_much_is_gained_and_where() -> None:
    readme, weightings = words_of("README.md"), words_of("docs/weightings.md")
    far = [name for name, one in RESULTS["problems"].items() if one["advice"]["ratio"] > FAR]
    best = [min(ratio(name, it) for it in ("normalized", "shares", "annealing")) for name in far]
    low, high = (1 / ratio for ratio in (max(best), min(best)))
    parts = {
        name: np.mean(RESULTS["problems"]["digits_unit"]["methods"][name]["parts"]["classify"])
        for name in ("plain", "constant")
    }
    heat = f"{ratio('inverse_heat', 'normalized'):.2f}"[1:]

    assert f"gained {low:.1f} to {high:.0f} times" in readme
    assert f"by {low:.1f} to {high:.0f} times at best" in weightings
    assert f"{100 * (parts['constant'] / parts['plain'] - 1):.0f} % worse" in readme
    assert f"{heat} for the heat equation" in readme
    assert f"its largest gain ({heat})" in weightings
    assert f"{RESULTS['problems']['inverse_heat']['advice']['ratio']:.0f} times" in readme
    assert f"collapses: {ratio('vae_mean', 'constant'):.2f})".replace("0.", ".") in readme
    assert 4.5 < ratio("adversarial", "frozen") / ratio("adversarial", "upgrad") < 5.5


def test_the_page_on_weightings_tells_the_published_line() -> None:
    line = RESULTS["published"]
    plain, annealing = (np.mean(line["errors"][method]) for method in ("plain", "annealing"))
    _, theirs, theirs_annealed = PUBLISHED[0]

    told = words_of("docs/weightings.md")
    assert f"its {line['steps']:,} steps, the error of the plain sum" in told
    assert f"becomes {plain / annealing:.1f} times smaller" in told
    assert f"its authors have {theirs / theirs_annealed:.1f} for a network" in told


def test_the_page_on_weightings_counts_what_goes_by_how_losses_change() -> None:
    names = ("cov", "automatic", "uncertainty", "relobralo", "softadapt", "dwa")
    count = sum((verdicts(RESULTS, name) for name in names), Counter[str]())
    constant = verdicts(RESULTS, "constant")

    weightings, notebook = words_of("docs/weightings.md"), words_of(f"notebooks/{NOTEBOOK}")
    told = f"{count['win']} of {sum(count.values())} comparisons"
    assert f"won {told}, lost {count['loss']}, and failed together" in weightings
    assert f"with the plain sum in {count['both failed']}." in weightings
    assert f"seldom won: {told}, and {count['loss']} losses; in {count['both failed']}" in notebook
    assert f"won {constant['win']} times and never lost" in weightings
    assert constant["loss"] == 0
    assert f"won on {constant['win']} problems of {sum(constant.values())}" in words_of(
        "docs/why_not_just.md"
    )


NOTEBOOK = "3_what_the_weights_do.ipynb"


def test_the_page_on_weightings_says_how_often_the_diagnosis_was_right() -> None:
    page, weightings = (words_of(f"docs/{name}") for name in ("evidence.md", "weightings.md"))
    bounds, advice = re.findall(r"by its \w+ (\d+) hits, (\d+) misses", page)
    same = [same_answer(claims(RESULTS)) for claims in (claims_by_bounds, claims_by_advice)]

    assert "right on {} of them and wrong on {};".format(*bounds) in weightings
    assert "what it tells you to try was right on {} and wrong on {}".format(*advice) in weightings
    assert "the same answer would have been right on {} and {}.".format(*same) in weightings
    of = sum(map(int, advice))
    told = f"right on {advice[0]} of {of} problems; who always gives the same answer is right on"
    assert f"{told} {same[1]}." in words_of("README.md")
