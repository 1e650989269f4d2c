"""The rows in the order in which they are run and shown; a new one is one file here and one line below."""

from benchmarks.row import Row
from benchmarks.rows import checking, storing, submit, twenty

ROWS: tuple[Row, ...] = (submit.ROW, twenty.ROW, storing.MANY, storing.LARGE, checking.ROW)
