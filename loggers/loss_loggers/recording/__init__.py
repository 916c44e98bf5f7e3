"""The local record: a run folder, written and read.

This is all that other packages need to know of a run on disk.
"""

from loss_loggers.base._paths import folder_at as folder_at
from loss_loggers.base._paths import open_file as open_file

from ._columns import Block as Block
from ._columns import header_of as header_of
from ._columns import parse_lines as parse_lines
from ._csv_logger import CsvLogger as CsvLogger
from ._epochs import read_epochs as read_epochs
from ._line_template import KEYS as KEYS
from ._line_template import STATISTICS as STATISTICS
from ._read_run import Run as Run
from ._read_run import read_run as read_run
from ._rows import read_logged as read_logged
from ._rows import read_rows as read_rows
from ._run_folder import EPOCH_COLUMNS as EPOCH_COLUMNS
from ._run_folder import EPOCHS as EPOCHS
from ._run_folder import INFO as INFO
from ._run_folder import NOTES as NOTES
from ._run_folder import RunIsHeldError as RunIsHeldError
from ._run_folder import holding as holding
from ._run_folder import is_abandoned as is_abandoned
from ._run_folder import is_run as is_run
from ._run_folder import missing_parts as missing_parts
from ._run_folder import move_run as move_run
from ._run_folder import part_number as part_number
from ._run_folder import parts as parts
from ._run_folder import read_json as read_json
from ._run_folder import readable_parts as readable_parts
from ._run_folder import run_info as run_info
from ._run_folder import write_json as write_json
from ._run_folder import writing as writing
from ._run_info import GREY as GREY
from ._run_info import new_colour as new_colour
from ._table import Line as Line
from ._table import UnreadableError as UnreadableError
from ._table import read_table as read_table
