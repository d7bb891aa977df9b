"""How Sphinx builds these pages: ``sphinx-build -W docs docs/_build``."""

from importlib.metadata import version as version_of

from sphinx.application import Sphinx

project = "penstock"
author = copyright = "The penstock authors"
release = version = version_of("penstock")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "penstock"

myst_enable_extensions = ["attrs_inline", "colon_fence"]
myst_heading_anchors = 3

autodoc_default_options = {
    "members": True,
    "inherited-members": "int, tuple, Exception, OSError, RuntimeError, LookupError",
    "member-order": "bysource",
    "show-inheritance": True,
}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", keep_first_line, priority=400)  # before napoleon's


def keep_first_line(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Keep napoleon from taking what is before a colon, as in "None: all", for a type."""
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]  # an empty comment
