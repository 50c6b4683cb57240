"""The web edition's configuration. `make site` stages the pages beside it and runs Sphinx.

What depends on where the course lives comes from the environment; without it, no button:

ATTNCOURSE_SITE_ADDRESS     where the site will be, for the sitemap and pictures of links
ATTNCOURSE_SITE_REPOSITORY  address of the repository; with it:
ATTNCOURSE_SITE_BRANCH      its branch (main)
ATTNCOURSE_SITE_BINDER      a BinderHub
ATTNCOURSE_SITE_COLAB       a Colab
ATTNCOURSE_SITE_JUPYTERHUB  a JupyterHub
"""

import os

from attncourse.book.web.library import as_rst


def setting(name: str, default: str = "") -> str:
    return os.environ.get(f"ATTNCOURSE_SITE_{name}", default).strip()


project = "attncourse"
author = "the authors of attncourse"
copyright = "MIT licence"
language = "en"
html_title = "Attention in vision, from scratch"
html_short_title = "attncourse"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
    "sphinxext.opengraph",
]
exclude_patterns = ["extra"]
nb_execution_mode = "off"
nb_merge_streams = True
nb_number_source_lines = False
myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
# Chapters step from their title to ### before the first section.
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]
autodoc_typehints = "signature"
autodoc_inherit_docstrings = False
autodoc_mock_imports = ["triton"]

html_theme = "sphinx_book_theme"
html_baseurl = setting("ADDRESS")
templates_path = ["_templates"]
html_static_path = ["_static"]
html_extra_path = ["extra"]
html_css_files = ["course.css"]
html_js_files = [("explorers.js", {"type": "module"})]
html_copy_source = False
html_show_sourcelink = False
html_favicon = "_static/icon.svg"
html_context = {"default_mode": "auto"}
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_toc_level": 2,
    "home_page_in_toc": True,
    "navbar_start": [],
    "navbar_center": [],
    "navbar_end": [],
    "navbar_persistent": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "search_bar_text": "Search the course",
}
if setting("REPOSITORY"):
    html_theme_options |= {
        "repository_url": setting("REPOSITORY"),
        "repository_branch": setting("BRANCH", "main"),
        "use_repository_button": True,
        "launch_buttons": {
            "notebook_interface": "jupyterlab",
            "binderhub_url": setting("BINDER"),
            "colab_url": setting("COLAB"),
            "jupyterhub_url": setting("JUPYTERHUB"),
        },
    }

ogp_site_url = setting("ADDRESS")
ogp_image = "_static/attention.png"
ogp_image_alt = "A pixel of a photograph and the shares it gives to all others"
ogp_description_length = 160
ogp_enable_meta_description = True
ogp_social_cards = {"enable": False}

if html_baseurl:
    extensions.append("sphinx_sitemap")
    sitemap_url_scheme = "{link}"


def _docstring(app, what, name, obj, options, lines):
    lines[:] = as_rst(lines, whole=what == "module")


def _launch_the_learner_edition(app, pagename, templatename, context, doctree):
    """Buttons open what the learner fills in, not the page's own copy."""

    def mend(button):
        for one in button.get("buttons", ()):
            mend(one)
        if "url" in button:
            button["url"] = button["url"].replace("chapters/", "notebooks/learner/")

    for button in context.get("header_buttons", ()):
        mend(button)


def setup(app):
    # It copies files and sets a path, and forgot to say so.
    app.extensions["sphinx-mathjax-offline"].parallel_read_safe = True
    app.connect("autodoc-process-docstring", _docstring)
    app.connect("html-page-context", _launch_the_learner_edition, priority=900)
