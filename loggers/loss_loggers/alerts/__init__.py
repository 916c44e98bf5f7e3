"""What in a run deserves a look: the bounds, the sentences, and a logger that calls you.

The dashboard finds the same alerts in a whole run, by the same rules.
"""

from loss_loggers.base._values import is_total as is_total

from ._advice import FAR as FAR
from ._advice import NEAR as NEAR
from ._advice import Advice as Advice
from ._advice import Measured as Measured
from ._advice import advise as advise
from ._alert_logger import AlertLogger as AlertLogger
from ._rules import LARGE as LARGE
from ._rules import MEAN_OF as MEAN_OF
from ._rules import SPIKE as SPIKE
from ._rules import Alert as Alert
from ._rules import Weighed as Weighed
from ._rules import capped_alert as capped_alert
from ._rules import groups_in as groups_in
from ._rules import has_stopped as has_stopped
from ._rules import is_capped as is_capped
from ._rules import long as long
from ._rules import nonfinite_alert as nonfinite_alert
from ._rules import small_share as small_share
from ._rules import spike_alert as spike_alert
from ._rules import still_alert as still_alert
from ._rules import stopped_alert as stopped_alert
from ._rules import usual_intervals as usual_intervals
from ._rules import weight_alert as weight_alert
