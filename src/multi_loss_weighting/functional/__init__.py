"""Weightings as pure functions, for `jax.jit`, `tf.function`, `torch.compile` and NumPy."""

from multi_loss_weighting.statistics._array_ratios import RatioStatistics as RatioStatistics
from multi_loss_weighting.statistics._arrays import LossStatistics as LossStatistics

from ._learned import automatic_weighted_loss as automatic_weighted_loss
from ._learned import uncertainty_softmax_loss as uncertainty_softmax_loss
from ._learned import uncertainty_weighted_loss as uncertainty_weighted_loss
from ._pure import PureWeighting as PureWeighting
from ._pure import State as State
from ._weightings import cov_weighting as cov_weighting
from ._weightings import equal_weighting as equal_weighting
from ._weightings import normalized_weighting as normalized_weighting
from ._weightings import static_weighting as static_weighting
