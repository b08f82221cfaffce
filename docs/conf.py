"""How Sphinx builds the site: ``make docs``. The pages themselves are read on GitHub as well."""

from __future__ import annotations

import os
import re
from importlib.metadata import version as version_of
from typing import Any

from sphinx.application import Sphinx
from sphinx_gallery.sorting import ExplicitOrder

project = "rgbench"
author = "rgbench developers"
project_copyright = "rgbench developers, MIT licence"
release = version_of("rgbench")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.mermaid",
]
exclude_patterns = [
    "_build",
    "examples/*.ipynb",
    "examples/**/*.md5",
    "examples/**/*.json",
    "sg_execution_times.rst",
]
templates_path = ["_templates"]

# Pages in Markdown
myst_enable_extensions = ["attrs_inline", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_fence_as_directive = ["mermaid"]
# What is not marked as a language is a command line or a formula, in which nothing is coloured.
highlight_language = "none"

# The reference
autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say types, shapes and units
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
# What a docstring says must be whole and in order. That every parameter of a public name is there,
# tests/test_docs.py checks.
numpydoc_validation_checks = {
    *("GL03", "GL05", "GL06", "GL07", "GL08", "GL09", "GL10"),
    *("SS01", "SS02", "SS03", "SS04", "SS05", "SS06"),
    *("PR02", "PR03", "PR04", "PR05", "PR06", "PR07", "PR08", "PR09", "PR10"),
}
default_role = "py:obj"

# The look
html_theme = "furo"
html_title = "rgbench"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False

# The examples, in the order in which they are read. `make docs` runs them; with GALLERY=0 it shows them
# without what they print and draw.
EXAMPLES = [
    "quickstart",
    "own_data",
    "own_network",
    "own_metric",
    "scoring",
    "report",
    "survey",
    "finetuning",
]
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "examples",
    "filename_pattern": r"\.py$",
    # A script with options, for a store that is there: docs/score.md tells of it.
    "ignore_pattern": r"features_sklearn",
    "plot_gallery": os.environ.get("GALLERY", "1") != "0",
    "abort_on_example_error": True,
    "capture_repr": (),
    "remove_config_comments": True,
    "show_memory": False,
    "within_subsection_order": ExplicitOrder([f"{name}.py" for name in EXAMPLES]),
    "write_computation_times": False,
}

# `make docs-links` asks the network; `make docs` never does.
linkcheck_timeout = 20
linkcheck_retries = 2


def lead_to_pages(*event: Any) -> None:
    """Have links to the script of an example, and names of the package, lead to their pages."""
    app, page, text = event
    if app.env.doc2path(page).suffix == ".md":
        text[0] = re.sub(r"\]\(\.\./examples/(\w+)\.py\)", r"](examples/\1.rst)", text[0])
        text[0] = re.sub(r"(?<![\w}`])`(rgbench(?:\.\w+)+)`", r"{py:obj}`\1`", text[0])


def leave_out(*event: Any) -> bool | None:
    """Leave out the fields of named tuples, of which Python says no more than their number."""
    member = event[3]
    return True if str(member.__doc__).startswith("Alias for field number") else None


def setup(app: Sphinx) -> None:
    """Take part in the building of pages."""
    app.connect("source-read", lead_to_pages)
    app.connect("autodoc-skip-member", leave_out)
