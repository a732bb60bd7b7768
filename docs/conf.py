"""The documentation site, made by `make docs`: Sphinx reads the same Markdown pages as the forge shows.

The source directory is the repository's, not this one, so that links between pages, and from pages to files, are the
same on the forge and here.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cwsandbox

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "cwsandbox"
release = version = cwsandbox.__version__.partition("+")[0]

extensions = ["myst_parser", "sphinx.ext.autodoc", "public_names", "example_pages"]
include_patterns = ["docs/**", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"]
exclude_patterns = ["build", ".venv"]
root_doc = "docs/index"

html_theme = "furo"
html_title = f"cwsandbox {release}"
html_copy_source = False
html_show_copyright = False
html_extra_path = ["_site"]  # index.html of the whole site, which leads to the root document

# Anchors of headings as the forge makes them.
myst_heading_anchors = 4

autoclass_content = "both"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "show-inheritance": True}

# A reference to a name of the package that is not there is a warning. There is no network to look up the others.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!cwsandbox).*")]
