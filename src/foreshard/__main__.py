"""This module is `python -m foreshard`."""

from foreshard.cli.main import app

__all__: list[str] = []

app()
