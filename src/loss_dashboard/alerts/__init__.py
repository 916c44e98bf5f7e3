"""What in a run deserves a look."""

from loss_loggers.alerts import Alert as Alert

from ._find import find_alerts as find_alerts
from ._listed import examined as examined
from ._listed import list_runs as list_runs
from .explain import explain as explain
from .explain import in_words as in_words
from .explain import text_of as text_of
