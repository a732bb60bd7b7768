"""Shows the package as it is used: by its public names, whichever module defines them, and each a link."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform

import cwsandbox

CODE = re.compile(r"([A-Z]\w+(?:\.[a-z]\w+)?)(?:\(.*\))?")


def public_bases(bases: list[type]) -> list[type]:
    found = []
    for base in bases:
        if base.__module__.startswith("cwsandbox") and base.__name__ not in cwsandbox.__all__:
            found += public_bases(list(base.__bases__))
        elif base is not object:
            found.append(base)
    return found


def drop_private_bases(
    app: Sphinx, name: str, cls: object, options: dict[str, Any], bases: list[type]
) -> None:
    bases[:] = public_bases(bases) or [object]


def drop_base_object(app: Sphinx, domain: str, kind: str, content: nodes.Element) -> None:
    """`Bases: object` says nothing."""
    if content.children and content[0].astext() == "Bases: object":
        del content[0]


class LinkNames(SphinxTransform):
    """Makes a link of `Sandbox` and `Sandbox.exec()` in the text, where there is such a public name."""

    default_priority = 300

    def apply(self, **arguments: object) -> None:
        for literal in list(self.document.findall(nodes.literal)):
            found = CODE.fullmatch(literal.astext())
            name = found[1] if found else ""
            inside = isinstance(literal.parent, pending_xref | nodes.reference)
            if inside or name.partition(".")[0] not in cwsandbox.__all__:
                continue
            link = pending_xref(
                refdomain="py",
                reftype="obj",
                reftarget=f"cwsandbox.{name}",
                refdoc=self.env.docname,
                optional=True,
            )
            literal.replace_self(link)
            link += literal


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.TextElement
) -> nodes.reference | nodes.TextElement | None:
    """Annotations name types by the modules that define them. Those that are not public stay plain text."""
    target = node["reftarget"]
    if node.get("optional"):
        return text
    if node.get("refdomain") != "py" or not target.startswith("cwsandbox._"):
        return None
    name = target.rpartition(".")[2]
    if name not in cwsandbox.__all__:
        return text
    domain = env.domains.python_domain
    return domain.resolve_xref(
        env, node["refdoc"], app.builder, "obj", f"cwsandbox.{name}", node, text
    )


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(LinkNames)
    app.connect("autodoc-process-bases", drop_private_bases)
    app.connect("object-description-transform", drop_base_object)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
