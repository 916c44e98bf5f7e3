"""What may be wrong with the numbers: what stands beside the counts, and a section of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evidence.compare import TIE
from multi_loss_weighting import ReLoBRaLo

from .markdown import bullets, counted, ratio
from .tables import (
    after_holm,
    at_edge,
    compared,
    comparisons,
    cost_of,
    others,
    problems_with,
    title,
    verdict,
    verdicts,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .tables import Data


def beside_the_counts(results: Data) -> str:
    """What the rows of the counts do not say of themselves."""
    return bullets(_beside_the_counts(results))


def _beside_the_counts(results: Data) -> Iterator[str]:
    if problems_with(results, "constant"):
        yield _of_the_constant(results)
    targets = [
        f"{loss} {value:g} ({problem['title']})"
        for problem in results["problems"].values()
        for loss, value in problem["targets"].items()
        if "target" in problem["methods"]
    ]
    if targets:
        yield (
            f"**{title(results, 'target')} knew its target**: {', '.join(targets)}. The plain sum"
            " of sums ends with a KL of about 6 nats, and 0.75 is the same as a mean over 8 codes:"
            " a user without such a run has to guess."
        )
    found = [cost_of(results, name, "equal") for name in problems_with(results, "equal")]
    if found:
        apart = max(abs(cost - 1) for cost in found)
        yield (
            f"**Costs are good to {100 * apart:.0f} %**: {title(results, 'equal')} costs as much as"
            f" the plain sum, and {min(found):.2f} to {max(found):.2f} was measured. A verdict that"
            " turns at equal time for as little is noise."
        )


def _of_the_constant(results: Data) -> str:
    names = problems_with(results, "constant")
    same = sum(set(comparisons(results, name)["constant"].ratios) == {1.0} for name in names)
    ends = sum(_is_at_an_end(results["problems"][name]) for name in names)
    circuit = (
        " (the circuit's has about the ratio of its units)"
        if "circuit_raw" in results["problems"]
        else ""
    )
    heat = (
        " The heat equation's grid has no weight of the boundary, which was taken out to save time,"
        " and which the frozen weights that win there raise."
        if "inverse_heat" in results["problems"]
        else ""
    )
    return (
        "**The best constant could hardly lose.** Its grid has the plain sum in it: on"
        f" {counted(same, 'problem')} its numbers are the plain sum's. Grids were made with what we"
        f" knew{circuit} and are small: on {counted(ends, 'problem')} a weight that was chosen is"
        f" the last of its grid.{heat}"
    )


def _is_at_an_end(problem: Data) -> bool:
    """Whether a chosen weight is not 1, and the smallest or largest that was tried."""
    chosen = [one["weights"] for one in problem["methods"]["constant"]["chosen"]]
    return any(
        weights[loss] != 1 and weights[loss] in (min(grid), max(grid))
        for weights in chosen
        for loss, grid in problem["constants"].items()
    )


def limits(results: Data) -> str:
    """The section about what may be wrong."""
    own = bullets([*_of_methods(results), _of_the_number(results)])
    return f"## What may be wrong with this\n\n{own}{_OF_ALL}"


_OF_ALL = """\
- **Rates and constants were chosen with what a user lacks**: by the metric itself, which needs the
  true solution, depth or conductivity. Seeds are others, held-out data and solutions are the same.
- **All rows of a problem share one plain sum.** Where its seeds were lucky, all rows look worse.
- **The grids of rates were moved** after first fits: for digits and equations since the best rate
  was at the edge, for VAEs and the stereo pair to lie around the best of the plain sum, which
  favours it. Those fits had seeds that are reported here, too.
- **We chose the problems**, some of them since pilots had shown an effect there. The circuits, the
  digits and the VAEs are each one set of data under two or three sums of losses, so their wins are
  not independent. The counts describe this list, not the world.
- **We wrote the package.** Its methods are tested against their papers or their authors' code.
- **Costs** are processor time on one machine, in turn with the plain sum. On networks this small,
  what a method computes looks dearer than it is beside a large one.
- Seeds train side by side in one batched network, each with a `LossGroup` of its own; a test holds
  that each trains as it would alone.
"""


def _of_methods(results: Data) -> Iterator[str]:
    yield (
        "**Small networks and short runs**, float32, and one optimizer, Adam at a constant rate. A"
        " schedule, more steps or another optimizer may change who wins."
    )
    edges, rows, failed = at_edge(results)
    yield (
        "**Defaults.** Whoever tunes a method will do better than its row. In"
        f" {edges} of {rows} rows the best rate was the smallest or largest of its three for one"
        f" half of the seeds or both; {failed} rows more have no seed that learned."
    )
    idle = [*_hardly_acting(results)]
    if idle:
        yield f"**Some defaults could hardly act here**: {'; '.join(idle)}."
    if "pcgrad" in results["methods"]:
        yield _of_conflict_methods(results)


def _hardly_acting(results: Data) -> Iterator[str]:
    problems, names = results["problems"], results["methods"]
    if "softadapt" in names:
        apart = max(
            abs(weight - 1 / len(problems[name]["losses"]))
            for name in problems_with(results, "softadapt")
            for one in problems[name]["methods"]["softadapt"]["chosen"]
            for weight in one["weights"].values()
        )
        yield f"the weights of `SoftAdapt` stayed within {ratio(apart)} of 1/K"
    if "relobralo" in names:
        memory = round(1 / (1 - ReLoBRaLo().alpha))
        steps = sorted(problem["steps"] for problem in problems.values())
        yield (f"`ReLoBRaLo` remembers {memory:,} steps, in fits of {steps[0]:,} to {steps[-1]:,}")
    if "automatic" in names and "circuit_raw" in problems:
        circuit = problems["circuit_raw"]
        reach = max(circuit["rates"]) * circuit["steps"]
        yield (
            f"a parameter of `AutomaticWeightedLoss` moves by {reach:.0f} at most in the circuit's"
            " raw units, where hundreds are needed at first"
        )
    if "softmax" in names:
        yield "the paper of `UncertaintySoftmax` tunes its temperature"


def _of_conflict_methods(results: Data) -> str:
    won = [
        problem["title"]
        for name, problem in results["problems"].items()
        for method in ("upgrad", "pcgrad")
        if method in problem["methods"] and verdict(results, name, method) == "win"
    ]
    return (
        "**Conflict methods** were added to the adversarial autoencoder and to the VAE of sums"
        " after a first publication, in which `group.diagnose` had advised them there, and not to"
        " Burgers' equation, where it advises them, too. Where they won:"
        f" {', '.join(dict.fromkeys(won)) or 'nowhere'}. PCGrad as published projects the"
        " gradients of shared parameters; here it makes weights from one layer, which scale the"
        " heads as well."
    )


def _of_the_number(results: Data) -> str:
    counts = [verdicts(results, name) for name in others(results)]
    sure = sum(count["win"] + count["loss"] for count in counts)
    left = sum(sum(one[it] for it in ("win", "loss")) for one in after_holm(results).values())
    placebo = verdicts(results, "equal")
    told = (
        f" The placebo has {counted(placebo['win'], 'win')} and {counted(placebo['loss'], 'loss')}."
        if problems_with(results, "equal")
        else ""
    )
    return (
        f"**{compared(results)} verdicts.** One in twenty true ties comes out as a win or a loss,"
        f" unless the bound of {100 * TIE:.0f} % stops it. Of {sure} wins and losses {left} are"
        f" left by Holm's correction.{told}"
    )
