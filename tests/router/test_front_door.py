"""What `import foreshard` brings, and what it does not."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources

import pytest

import foreshard


def loaded(code: str) -> set[str]:
    asked = "import sys; before = set(sys.modules)"
    told = "print(*sorted({m.partition('.')[0] for m in set(sys.modules) - before}))"
    done = subprocess.run(
        [sys.executable, "-c", f"{asked}\n{code}\n{told}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_of_others() -> None:
    assert not loaded("import foreshard") - set(sys.stdlib_module_names) - {"foreshard"}


def test_the_router_loads_neither_arrays_nor_compilers_nor_servers() -> None:
    found = loaded("from foreshard import Router; Router().route('a', 'b', 'c')")
    assert found - set(sys.stdlib_module_names) <= {"foreshard", "xxhash"}


@pytest.mark.parametrize("name", foreshard.__all__)
def test_every_public_name_is_there_and_is_listed(name: str) -> None:
    assert getattr(foreshard, name).__name__ == name
    assert name in dir(foreshard)


def test_who_checks_types_may_use_ours() -> None:
    assert resources.files("foreshard").joinpath("py.typed").is_file()


def test_a_name_that_is_not_there_is_said_as_python_says_it() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Rooter'"):
        _ = foreshard.Rooter
