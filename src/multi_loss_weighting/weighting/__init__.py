"""Ways to weigh the losses of one objective, one method a file."""

from ._base import Weighted as Weighted
from ._base import Weighting as Weighting
from ._base import weighted_sum as weighted_sum
from ._learned import LearnedWeighting as LearnedWeighting
from .automatic import AutomaticWeightedLoss as AutomaticWeightedLoss
from .cov import CoVWeighting as CoVWeighting
from .equal import EqualWeighting as EqualWeighting
from .gradient_share import GradientShareWeighting as GradientShareWeighting
from .gradnorm import GradNorm as GradNorm
from .normalized import NormalizedWeighting as NormalizedWeighting
from .plain_sum import PlainSum as PlainSum
from .relobralo import ReLoBRaLo as ReLoBRaLo
from .softadapt import SoftAdapt as SoftAdapt
from .static import StaticWeighting as StaticWeighting
from .target import TargetWeighting as TargetWeighting
from .torchjd import TorchJDWeighting as TorchJDWeighting
from .uncertainty import UncertaintyWeighting as UncertaintyWeighting
from .uncertainty_softmax import UncertaintySoftmax as UncertaintySoftmax
