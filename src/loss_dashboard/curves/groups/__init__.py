"""Runs in groups, such as the seeds of a weighting: their mean, and how sure it is."""

from ._form import Group as Group
from ._form import about_key as about_key
from ._form import by_number as by_number
from ._form import form_groups as form_groups
from ._form import keys_to_group_by as keys_to_group_by
from ._grouped import GroupCurve as GroupCurve
from ._grouped import GroupedLoss as GroupedLoss
from ._grouped import Member as Member
from ._grouped import grouped as grouped
from ._grouped import member_of as member_of
from ._interval import INTERVAL as INTERVAL
from ._interval import mean_over as mean_over
from ._table import HEADINGS as HEADINGS
from ._table import final_rows as final_rows
