"""Pages to look at: one self-contained HTML file each, in light and dark, on a desk or a phone."""

from pipeline.html.document import templates, write_page
from pipeline.html.image import data_uri, strip

__all__ = ["data_uri", "strip", "templates", "write_page"]
