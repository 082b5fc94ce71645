"""This module is the pages about the code: one for each package, written before Sphinx reads.

Docstrings are written for people who read the source, in Markdown's manner; what reStructuredText
would take amiss (indented blocks, tables) is put into its words on the way.
"""

from __future__ import annotations

import re
from pathlib import Path

from docs.machinery.source import modules

__all__ = ["as_restructured", "write_code_pages"]

# Programs, not modules: importing them would run them.
NOT_IMPORTED = ("__main__",)
INDEX = """# Code

One page a package, from its docstrings. Plug-ins need `foreshard.ports` (on the page of the
package `foreshard`), `foreshard.model` and `foreshard.testing`. Applications need what `foreshard`
itself names (`Router`, `following`, `shard_request` and their words; they live in
`foreshard.router` and `foreshard.app`) and `foreshard.middleware`. The rest may change.

```{toctree}
:maxdepth: 1
:glob:

foreshard*
```
"""
SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Yields|Example|Examples):$")


def write_code_pages(folder: Path) -> None:
    """Write one page a package into a folder, and remove the pages of packages that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = _pages()
    for old in folder.glob("*.md"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        path = folder / name
        # What is as it was is not read again.
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def as_restructured(lines: list[str]) -> list[str]:
    """A docstring with its indented blocks and tables as literal blocks."""
    found: list[str] = []
    in_section = is_block = False
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if line and indent == 0:
            in_section, is_block = bool(SECTION.match(line)), False
        starts = not is_block and not in_section and bool(line)
        before = found[-1] if found else ""
        if starts and indent >= 4 and not before and not _ends_a_list(found):
            found += ["::", ""]
            is_block = True
        elif starts and line.startswith("|") and not before.lstrip().startswith("|"):
            found += ["", "::", ""]
        found.append(f"    {line}" if line.startswith("|") else line)
    return found


def _ends_a_list(lines: list[str]) -> bool:
    """Whether an indented line would go on with a list or an already literal block."""
    said = next((line for line in reversed(lines) if line), "")
    return said.lstrip().startswith(("- ", "* ", ">>>", "...")) or said.endswith("::")


def _pages() -> dict[str, str]:
    names = [name for name, _ in modules() if name.rpartition(".")[2] not in NOT_IMPORTED]
    packages: dict[str, list[str]] = {}
    for name in names:
        is_package = any(other.startswith(f"{name}.") for other in names)
        packages.setdefault(name if is_package else name.rpartition(".")[0], []).append(name)
    pages = {f"{package}.md": _page(package, sorted(n)) for package, n in packages.items()}
    return pages | {"index.md": INDEX}


def _page(package: str, names: list[str]) -> str:
    parts = [f"# {package}", ""]
    for name in names:
        is_package = name == package
        if not is_package:
            parts += [f"## {name.rpartition('.')[2]}", ""]
        # A package's names are documented where they are defined.
        options = [] if is_package else [":members:"]
        parts += ["```{eval-rst}", f".. automodule:: {name}"]
        parts += [f"   {option}" for option in options]
        parts += ["```", ""]
    return "\n".join(parts)
