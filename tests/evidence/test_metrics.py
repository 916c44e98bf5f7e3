from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from evidence.problems import InParts, adversarial, regression, stereo, two_digits, vae
from evidence.problems._stack import Stream, generator
from torch import distributions

if TYPE_CHECKING:
    from collections.abc import Callable

for needed in ("mlxtend", "skimage", "sklearn"):
    pytest.importorskip(needed, reason="needs the packages of the evidence group")

Bernoulli: Any = distributions.Bernoulli
Normal: Any = distributions.Normal


def test_a_step_draws_what_no_other_step_and_no_other_seed_draws() -> None:
    stream = Stream([1, 2], "noise", lambda steps, random: torch.rand(steps, 3, generator=random))

    drawn = torch.cat([stream.at(step).flatten() for step in (0, 1, 99, 100, 101, 5000)])

    assert len(set(drawn.tolist())) == 36


def test_the_circuit_is_that_of_complex_impedances() -> None:
    inputs, outputs = regression.circuit(generator(0, "test"), 50)
    resistance, frequency, inductance, capacitance = (inputs.double().numpy().T + 1) / 2 * [
        [100],
        [520 * np.pi],
        [1],
        [10e-6],
    ] + [[0], [40 * np.pi], [0], [1e-6]]

    impedance = resistance + 1j * frequency * inductance + 1 / (1j * frequency * capacitance)

    expected = abs(impedance), impedance.imag, np.angle(impedance), np.cos(np.angle(impedance))
    np.testing.assert_allclose(outputs, np.stack(expected, axis=1), rtol=1e-3, atol=1e-2)


def test_circuits_differ_in_the_units_of_their_losses_alone() -> None:
    raw, unit = (regression.CircuitTask([1], raw_units=raw) for raw in (True, False))

    ratios = [(raw.losses(3)[name] / unit.losses(3)[name]).sqrt() for name in regression.OUTPUTS]

    torch.testing.assert_close(torch.cat(ratios), regression.SPREAD)
    assert 1000 < regression.SPREAD.max() / regression.SPREAD.min() < 5000


def test_drawn_pixels_differ_in_their_unit_alone() -> None:
    dim, bright = (two_digits.ClassifyAndDraw([1], brightest) for brightest in (1.0, 255.0))

    torch.testing.assert_close(bright.losses(3)["draw"], dim.losses(3)["draw"] * 255**2)
    torch.testing.assert_close(bright.losses(3)["classify"], dim.losses(3)["classify"])


@pytest.mark.parametrize(
    "make",
    [
        lambda: regression.CircuitTask([1, 2], raw_units=True),
        lambda: two_digits.ClassifyAndDraw([1, 2], 255.0),
        lambda: two_digits.ClassifyBoth([1, 2]),
    ],
    ids=["regression", "classify and draw", "classify both"],
)
def test_a_metric_in_parts_is_their_mean(make: Callable[[], Any]) -> None:
    task = make()
    parts = task.parts()

    assert [*parts] == [*task.losses(0)]
    torch.testing.assert_close(sum(parts.values()) / len(parts), task.metric())
    assert isinstance(task, InParts)


def test_held_out_digits_are_no_training_digits() -> None:
    for digits in (two_digits.digits, lambda held_out: [adversarial.digits(held_out=held_out)]):
        known, held_out = (
            {image.numpy().tobytes() for image in digits(held_out=part)[0]}
            for part in (False, True)
        )

        assert held_out
        assert not known & held_out


def test_the_losses_of_the_vae_are_those_of_torch_distributions() -> None:
    by_sum, by_mean = (vae.VaeTask([1], means=means) for means in (False, True))
    images = by_sum._images[by_sum._batches.at(0)]
    mean, log_spread = by_sum._encode(images)
    codes = Normal(mean, log_spread.exp())
    pixels = Bernoulli(logits=by_sum._decoder(mean + log_spread.exp() * by_sum._noise.at(0)))
    divergences = distributions.kl_divergence(codes, Normal(0.0, 1.0))

    expected = -pixels.log_prob(images), divergences

    for name, each in zip(("rebuild", "kl"), expected, strict=True):
        torch.testing.assert_close(by_sum.losses(0)[name], each.sum(dim=2).mean(dim=1))
        torch.testing.assert_close(by_mean.losses(0)[name], each.mean(dim=(1, 2)))


@torch.no_grad()
def test_the_metric_of_the_vae_is_the_importance_weighted_bound() -> None:
    task = vae.VaeTask([1], means=False)
    images = vae.digits(held_out=True)
    encoder = task._encode(images[None])
    codes = Normal(encoder[0][0], encoder[1][0].exp())
    drawn = codes.mean + codes.stddev * task._test_noise[0].transpose(0, 1)
    pixels = Bernoulli(logits=task._decoder(drawn.flatten(0, 1)[None])[0].view(-1, *images.shape))

    log_weights = (
        Normal(0.0, 1.0).log_prob(drawn).sum(dim=2)
        + pixels.log_prob(images.expand_as(pixels.logits)).sum(dim=2)
        - codes.log_prob(drawn).sum(dim=2)
    )

    expected = -(log_weights.exp().mean(dim=0).log().mean())
    torch.testing.assert_close(task.metric()[0], expected, rtol=1e-4, atol=1e-3)


def test_the_energy_distance_is_that_of_scipy() -> None:
    from scipy.stats import energy_distance

    some, others = torch.randn(40, 1), torch.randn(60, 1) + 1

    ours = adversarial.energy_distance(some, others)

    assert ours.item() == pytest.approx(energy_distance(some[:, 0], others[:, 0]) ** 2, rel=1e-4)
    assert adversarial.energy_distance(some, some).item() == pytest.approx(0, abs=1e-6)


def test_the_encoder_learns_the_opposite_of_the_discriminator() -> None:
    task = adversarial.AdversarialTask([1])
    loss = task.losses(0)["adversarial"].sum()
    reached = (task._encoder.weights[0], task._discriminator.weights[0])
    of_encoder, of_discriminator = torch.autograd.grad(loss, reached)

    with torch.no_grad():
        reached[0].sub_(1e-2 * of_encoder)
        worse_told = task.losses(0)["adversarial"].sum()
        reached[0].add_(1e-2 * of_encoder)
        reached[1].sub_(1e-2 * of_discriminator)
        better_told = task.losses(0)["adversarial"].sum()

    assert better_told < loss < worse_told


def test_losses_of_a_kind_add_up_to_the_32_of_the_stereo_pair() -> None:
    each, kinds = (stereo.StereoTask([1, 2], one_by_one=one).losses(0) for one in (True, False))

    assert len(each) == 32
    for kind, total in kinds.items():
        of_kind = [loss for name, loss in each.items() if name.startswith(kind)]
        torch.testing.assert_close(torch.stack(of_kind).sum(dim=0), total)


def test_the_true_disparity_finds_what_the_other_eye_sees() -> None:
    images, places = stereo.scales()[0]
    truth, known = stereo.true_disparity()
    disparity = truth.where(known, truth[known].median())

    def unlike(candidate: torch.Tensor) -> float:
        pair = candidate.expand(1, 2, -1, -1)
        rebuilt = stereo._from_other_eye(images[None], pair, places)
        return (rebuilt - images)[0, 0][known].abs().mean().item()

    assert unlike(disparity) < 0.8 * min(
        unlike(torch.full_like(truth, constant)) for constant in np.linspace(0, 0.15, 31)
    )


def test_a_constant_disparity_has_an_error_of_1_and_the_truth_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = stereo.StereoTask([1], one_by_one=False)
    truth, known = stereo.true_disparity()

    def as_found(disparity: torch.Tensor) -> float:
        monkeypatch.setattr(task, "_disparities", lambda: [disparity.expand(1, 2, -1, -1)])
        return task.metric().item()

    assert as_found(truth) == 0
    assert as_found(truth[known].median().expand_as(truth)) == pytest.approx(1)


def test_equal_images_are_not_unlike() -> None:
    images, _ = stereo.scales()[0]

    assert stereo._unlike(images, images).abs().max() < 1e-6
    assert stereo._unlike(images, 1 - images).mean() > 0.5
