"""Track, weigh and log the losses of a network that has more than one."""

from ._group import LossGroup as LossGroup
from ._tracker import LossTracker as LossTracker
from ._trackers import Trackers as Trackers
from .gradients._diagnostics import GradientDiagnostics as GradientDiagnostics
from .statistics._history import History as History
from .statistics._record import LossRecord as LossRecord
from .statistics._settings import RatioSettings as RatioSettings
from .statistics._settings import StatisticsSettings as StatisticsSettings
from .statistics._statistics import Statistics as Statistics
from .statistics._view import LossView as LossView
from .step._row import REPORT as REPORT
from .step._row import STATISTICS as STATISTICS
from .step._settings import ReportSettings as ReportSettings
from .weighting import AutomaticWeightedLoss as AutomaticWeightedLoss
from .weighting import CoVWeighting as CoVWeighting
from .weighting import EqualWeighting as EqualWeighting
from .weighting import PlainSum as PlainSum
from .weighting import StaticWeighting as StaticWeighting
from .weighting import TorchJDWeighting as TorchJDWeighting
from .weighting import UncertaintyWeighting as UncertaintyWeighting
from .weighting import Weighted as Weighted
from .weighting import Weighting as Weighting
from .weighting import weighted_sum as weighted_sum
