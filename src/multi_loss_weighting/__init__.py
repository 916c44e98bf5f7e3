"""Track, weigh and log the losses of a network that has more than one."""

from loss_loggers import Advice

from ._group import LossGroup
from ._tracker import LossTracker
from ._trackers import Trackers
from .gradients._diagnosis import Diagnosis
from .gradients._diagnostics import GradientDiagnostics
from .statistics._history import History
from .statistics._record import LossRecord
from .statistics._settings import RatioSettings, StatisticsSettings
from .statistics._statistics import Statistics
from .statistics._view import LossView
from .step.report._row import REPORT, STATISTICS
from .step.report._settings import ReportSettings
from .weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    EqualWeighting,
    GradientShareWeighting,
    GradNorm,
    LearnedWeighting,
    NormalizedWeighting,
    PlainSum,
    ReLoBRaLo,
    SoftAdapt,
    StaticWeighting,
    TargetWeighting,
    TorchJDWeighting,
    UncertaintySoftmax,
    UncertaintyWeighting,
    Weighted,
    Weighting,
    weighted_sum,
)

__version__ = "0.1.0"

__all__ = [
    "REPORT",
    "STATISTICS",
    "Advice",
    "AutomaticWeightedLoss",
    "CoVWeighting",
    "Diagnosis",
    "EqualWeighting",
    "GradNorm",
    "GradientDiagnostics",
    "GradientShareWeighting",
    "History",
    "LearnedWeighting",
    "LossGroup",
    "LossRecord",
    "LossTracker",
    "LossView",
    "NormalizedWeighting",
    "PlainSum",
    "RatioSettings",
    "ReLoBRaLo",
    "ReportSettings",
    "SoftAdapt",
    "StaticWeighting",
    "Statistics",
    "StatisticsSettings",
    "TargetWeighting",
    "TorchJDWeighting",
    "Trackers",
    "UncertaintySoftmax",
    "UncertaintyWeighting",
    "Weighted",
    "Weighting",
    "weighted_sum",
]
