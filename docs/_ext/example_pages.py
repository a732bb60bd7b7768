"""Shows the programs of examples/ as pages, where a link to one would be a download otherwise."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from html import escape
from pathlib import Path
from posixpath import relpath
from typing import Any

from docutils import nodes
from sphinx.addnodes import download_reference
from sphinx.application import Sphinx

FOLDER = "examples"


def link_pages(app: Sphinx, document: nodes.document) -> None:
    here = str(Path(app.env.docname).parent)
    for link in list(document.findall(download_reference)):
        path = Path(link["reftarget"].lstrip("/"))
        if path.parent.name == FOLDER and path.suffix == ".py":
            page = nodes.reference("", "", refuri=relpath(f"{FOLDER}/{path.stem}.html", here))
            page += link.children
            link.replace_self(page)


def pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    for path in sorted(Path(app.srcdir, FOLDER).glob("*.py")):
        source = path.read_text()
        summary = (ast.get_docstring(ast.parse(source)) or "").partition("\n\n")[0]
        code = app.builder.highlighter.highlight_block(source, "python")
        body = f"<section><h1>{path.name}</h1>\n<p>{escape(summary)}</p>\n{code}</section>"
        yield f"{FOLDER}/{path.stem}", {"title": path.name, "body": body}, "page.html"


def setup(app: Sphinx) -> dict[str, bool]:
    # Before Sphinx collects what can be downloaded.
    app.connect("doctree-read", link_pages, priority=100)
    app.connect("html-collect-pages", pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
