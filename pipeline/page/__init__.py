"""Pages to look at: one self-contained HTML file each, in light and dark, on a desk or a phone."""

from pipeline.page.document import as_page, templates
from pipeline.page.image import data_uri, strip

__all__ = ["as_page", "data_uri", "strip", "templates"]
