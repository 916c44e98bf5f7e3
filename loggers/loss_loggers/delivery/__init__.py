"""Delivery off the thread that trains, and delivery later."""

from ._background import Background as Background
from ._sync import CopiedRunError as CopiedRunError
from ._sync import NotDeliveredError as NotDeliveredError
from ._sync import Progress as Progress
from ._sync import Summary as Summary
from ._sync import SyncIsRunningError as SyncIsRunningError
from ._sync import alone as alone
from ._sync import has_news as has_news
from ._sync import note_of as note_of
from ._sync import sync as sync
from ._sync import targets_of as targets_of
