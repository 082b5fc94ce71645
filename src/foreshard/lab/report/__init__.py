"""The report of a run as one self-contained page, drawn from the report's JSON and nothing else.

Reading order: `page` (what stands where), `harm` and `cell_row` (the pictures), `plot` (what they
have in common). Pictures stretch with the window and their words do not: geometry is SVG without
text, words are HTML placed over it by ratios.
"""

from foreshard.lab.report.figures import FORMAT, Report, parse, written
from foreshard.lab.report.page import page

__all__ = ["FORMAT", "Report", "page", "parse", "written"]
