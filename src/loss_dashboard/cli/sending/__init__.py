"""`losses sync`: which run of a backend a recorded run is sent to, and how that is opened."""

from ._known import GoneError as GoneError
from ._place import PACKAGES as PACKAGES
from ._place import Place as Place
from ._send import count as count
from ._send import send as send
