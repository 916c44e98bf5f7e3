"""The layer and the callback in real fits; the backend is that of KERAS_BACKEND."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
from keras import ops

from loss_loggers import CsvLogger, MemoryLogger, read_run
from multi_loss_weighting import CoVWeighting, LossGroup
from multi_loss_weighting.functional import cov_weighting, static_weighting
from multi_loss_weighting.integrations.keras import LossWeighting, RecordLosses

if TYPE_CHECKING:
    from pathlib import Path

    from multi_loss_weighting.functional import PureWeighting

NAMES = ("recon", "kl")


class Model(keras.Model):
    def __init__(self, weighting: PureWeighting | None = None) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(2)
        self.weighting = LossWeighting(NAMES, weighting or cov_weighting())

    def build(self, shape: Any) -> None:
        self.dense.build(shape)

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        losses = {"recon": ops.mean((y - y_pred) ** 2), "kl": ops.mean(ops.exp(y_pred))}
        return self.weighting(losses, training=training)


def compiled_model(**settings: Any) -> Model:
    model = Model()
    model.build((None, 4))
    model.compile(keras.optimizers.SGD(0.05), **settings)
    return model


def data() -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    inputs, targets = random.random((64, 4)), random.random((64, 2))
    return inputs.astype(np.float32), targets.astype(np.float32)


def tensors(**losses: float) -> dict[str, Any]:
    return {name: ops.convert_to_tensor(loss, "float32") for name, loss in losses.items()}


def fit(model: Model, **settings: Any) -> Any:
    return model.fit(*data(), batch_size=8, verbose=0, **settings)


def test_each_batch_is_recorded_with_the_weights_that_a_group_would_give(tmp_path: Path) -> None:
    model = compiled_model()
    with CsvLogger(tmp_path / "run") as logger:
        recorder = RecordLosses(NAMES, logger)
        fit(model, epochs=3, callbacks=[recorder])

    record = read_run(tmp_path / "run")
    group = LossGroup(NAMES, weighting=CoVWeighting())
    for step in range(24):
        losses = {name: record[name]["loss"][step] for name in NAMES}
        group.update(losses, do_backwards=False)
        for name in NAMES:
            assert record[name]["weight"][step] == pytest.approx(group[name].last_weight, abs=1e-5)
    assert len(record["kl"]["loss"]) == recorder.group.step == 24
    state = model.weighting.state
    np.testing.assert_allclose(
        ops.convert_to_numpy(state.losses.mean), group.history.mean, rtol=1e-6
    )


def test_the_model_learns_by_the_weighted_sum() -> None:
    model = Model(static_weighting(ops.convert_to_tensor([0.9, 0.1])))
    model.build((None, 4))
    model.compile(keras.optimizers.SGD(0.05))
    log, (inputs, targets) = MemoryLogger(), data()
    before = ops.convert_to_numpy(model.dense.kernel)
    outputs = inputs @ before

    history = model.fit(
        inputs, targets, batch_size=64, verbose=0, callbacks=[RecordLosses(NAMES, log)]
    ).history

    gradients = 0.9 * 2 * (outputs - targets) + 0.1 * np.exp(outputs)
    after = before - 0.05 * inputs.T @ (gradients / gradients.size)
    np.testing.assert_allclose(ops.convert_to_numpy(model.dense.kernel), after, rtol=1e-5)
    total = 0.9 * np.mean((targets - outputs) ** 2) + 0.1 * np.mean(np.exp(outputs))
    assert log.values("loss/total") == pytest.approx([total], rel=1e-5)
    assert history["loss"] == pytest.approx([total], rel=1e-5)
    assert len(model.trainable_variables) == 2


def test_the_total_of_an_epoch_is_the_mean_of_its_batches() -> None:
    log = MemoryLogger()

    history = fit(compiled_model(), epochs=2, callbacks=[RecordLosses(NAMES, log)]).history

    totals = log.values("loss/total")
    means = [np.mean(totals[:8]), np.mean(totals[8:])]
    assert history["loss"] == pytest.approx(means, rel=1e-4)


def test_an_evaluation_is_the_mean_over_its_batches_and_teaches_the_weights_nothing() -> None:
    model, log = compiled_model(), MemoryLogger()
    fit(model, epochs=1)
    before = [ops.convert_to_numpy(field) for part in model.weighting.state for field in part]
    recorder = RecordLosses(NAMES, log)

    model.evaluate(*data(), batch_size=8, verbose=0, callbacks=[recorder])

    inputs, targets = data()
    recon = float(np.mean((targets - ops.convert_to_numpy(model(inputs))) ** 2))
    assert log.values("loss/val/recon") == pytest.approx([recon], rel=1e-5)
    after = [ops.convert_to_numpy(field) for part in model.weighting.state for field in part]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


def test_validation_stands_at_the_step_of_training() -> None:
    log = MemoryLogger()

    fit(compiled_model(), epochs=2, validation_data=data(), callbacks=[RecordLosses(NAMES, log)])

    assert [step for step, _ in log["loss/kl"]] == list(range(16))
    assert [step for step, _ in log["loss/val/kl"]] == [7, 15]


def test_the_end_of_an_epoch_is_a_row_of_its_means() -> None:
    log = MemoryLogger()

    fit(compiled_model(), epochs=2, validation_data=data(), callbacks=[RecordLosses(NAMES, log)])

    kl = log.values("loss/kl")
    assert log["epoch"] == [(7, 0), (15, 1)]
    assert log.values("epoch_loss/kl") == pytest.approx([np.mean(kl[:8]), np.mean(kl[8:])])


def test_saved_weights_have_the_statistics_and_training_goes_on_alike(tmp_path: Path) -> None:
    model = compiled_model()
    fit(model, epochs=2, shuffle=False)
    model.save_weights(tmp_path / "model.weights.h5")
    other = compiled_model()
    other.load_weights(tmp_path / "model.weights.h5")

    histories = [fit(one, epochs=1, shuffle=False).history for one in (model, other)]

    assert histories[0] == histories[1]
    np.testing.assert_array_equal(
        ops.convert_to_numpy(other.weighting.state.ratios.count), [24, 24]
    )


if keras.backend.backend() != "torch":  # where Keras has no steps_per_execution

    def test_several_steps_in_one_execution_are_all_weighed() -> None:
        model = compiled_model(steps_per_execution=4)
        recorder = RecordLosses(NAMES)

        fit(model, epochs=1, callbacks=[recorder])

        assert ops.convert_to_numpy(model.weighting.state.losses.count).tolist() == [8, 8]
        assert recorder.group.step == 2


def test_a_loss_that_is_not_finite_is_counted_in_the_model() -> None:
    layer = LossWeighting(NAMES, cov_weighting())

    layer(tensors(recon=1.0, kl=np.nan), training=True)
    layer(tensors(recon=2.0, kl=3.0), training=True)

    assert ops.convert_to_numpy(layer.state.losses.nonfinite).tolist() == [0, 1]
    assert ops.convert_to_numpy(layer.state.losses.mean).tolist() == [1.5, 3.0]


def test_without_a_weighting_it_is_the_mean() -> None:
    total = LossWeighting(NAMES)(tensors(recon=1.0, kl=3.0), training=True)

    assert float(total) == 2.0


def test_losses_of_half_precision_do_not_overflow() -> None:
    losses = {name: ops.cast(loss, "float16") for name, loss in tensors(recon=6e4, kl=6e4).items()}

    assert float(LossWeighting(NAMES)(losses, training=True)) == pytest.approx(6e4, rel=1e-3)


def test_other_losses_than_those_named_are_an_error() -> None:
    with pytest.raises(ValueError, match="the losses are recon, kl; got recon, adv"):
        LossWeighting(NAMES)(tensors(recon=1.0, adv=2.0), training=True)


def test_it_must_be_told_whether_this_is_training() -> None:
    with pytest.raises(ValueError, match="pass training=training on; got None"):
        LossWeighting(NAMES)(tensors(recon=1.0, kl=2.0))


def test_a_model_without_the_layer_is_told_what_it_lacks() -> None:
    model = keras.Sequential([keras.layers.Dense(2)])
    model.compile("sgd", "mse")

    with pytest.raises(ValueError, match=r"calls a LossWeighting .*; got loss"):
        model.fit(*data(), verbose=0, callbacks=[RecordLosses(NAMES)])
