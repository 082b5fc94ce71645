"""This module is the bridge to Sphinx: `{generated}` puts in what the code says of itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_origin

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.directives.other import TocTree
from sphinx.util.docutils import SphinxDirective

from docs.machinery import (
    code_pages,
    commands,
    configuration,
    interface,
    lifecycle,
    reasons,
    samples,
)

__all__ = ["Diagram", "Generated", "Pages", "setup"]

LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((\.\./[^)#]*)\)")
MARKDOWN: dict[str, Callable[[], str]] = {
    "api": interface.interface_page,
    "commands": commands.commands_page,
    "configuration": configuration.configuration_page,
    "events": reasons.events_table,
    "guards": reasons.guards_table,
    "lifecycle": lifecycle.lifecycle_table,
    "reasons": reasons.reasons_table,
}
PICTURES: dict[str, Callable[[], str]] = {
    "lifecycle-picture": lifecycle.lifecycle_svg,
    "screen": samples.screen_svg,
}
TEXTS: dict[str, Callable[[str], str]] = {
    "report": lambda _: samples.report_text(),
    "why": samples.why_text,
    "why-frozen": lambda code: samples.why_text(code, frozen="release of the shop, ask Kim"),
}


class Generated(SphinxDirective):
    """`{generated} NAME [WHICH]`: a table, a picture or a text, made while building."""

    required_arguments = 1
    optional_arguments = 1
    has_content = False

    def run(self) -> list[nodes.Node]:
        """What Sphinx puts in its place."""
        name, which = self.arguments[0], (*self.arguments[1:], "")[0]
        if name in MARKDOWN:
            holder = nodes.section()
            lines = StringList(MARKDOWN[name]().splitlines(), source=f"generated {name}")
            self.state.nested_parse(lines, 0, holder, match_titles=True)
            return holder.children
        if name in PICTURES:
            return [nodes.raw("", PICTURES[name](), format="html")]
        if name in TEXTS:
            text = TEXTS[name](which)
            return [nodes.literal_block(text, text, language="text", classes=["terminal", name])]
        known = ", ".join([*MARKDOWN, *PICTURES, *TEXTS])
        raise self.error(f"generated {name!r} is unknown; there are {known}")


class Diagram(SphinxDirective):
    """`{mermaid}`, shown as it is written: no page draws with programs from elsewhere."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """What Sphinx puts in its place."""
        text = "\n".join(self.content)
        return [nodes.literal_block(text, text, language="text")]


class Pages(TocTree):
    """`{pages}`: a table of contents with the pages that are named first, then all others."""

    def run(self) -> list[nodes.Node]:
        """What Sphinx puts in its place."""
        here = self.env.current_document.docname
        folder = here.rpartition("/")[0]
        named = list(self.content)
        for name in sorted(self.env.found_docs):
            page = name.removeprefix(f"{folder}/")
            if name.startswith(f"{folder}/") and "/" not in page and name != here:
                named += [] if page in named else [page]
        self.content = StringList(named, source=here)
        # Read again whenever the folder has gained or lost a page.
        self.env.note_reread()
        return super().run()


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_directive("generated", Generated)
    app.add_directive("pages", Pages)
    app.add_directive("mermaid", Diagram)
    app.connect("builder-inited", _write_pages)
    app.connect("autodoc-skip-member", _skip_aliases)
    app.connect("source-read", _unlink_sources)
    app.connect("autodoc-process-docstring", _reword, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _write_pages(app: Sphinx) -> None:
    code_pages.write_code_pages(Path(app.srcdir) / "reference" / "code")


def _unlink_sources(app: Sphinx, docname: str, source: list[str]) -> None:
    """Name a file of the project that is no page; the repository's own viewer links to it."""
    page = Path(app.srcdir) / docname

    def replaced(found: re.Match[str]) -> str:
        target = (page.parent / found.group(2)).resolve()
        is_source = target.exists() and Path(app.srcdir).resolve() not in target.parents
        return found.group(1) if is_source else found.group(0)

    source[0] = LINK.sub(replaced, source[0])


def _skip_aliases(
    _app: Sphinx, _what: str, _name: str, member: object, *_more: object
) -> bool | None:
    """A name for a type has no words of its own, only those of the type."""
    return True if get_origin(member) is not None else None


def _reword(
    _app: Sphinx, _what: str, _name: str, _of: object, _opt: object, lines: list[str]
) -> None:
    lines[:] = code_pages.as_restructured(lines)
