"""This module is where JAX is asked for: an extra of the package, and slow to load."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from foreshard.model.errors import ForecastError

__all__ = ["loaded"]


def loaded(module: str) -> ModuleType:
    """A module of this package that needs JAX.

    Args:
        module: `network` or `training`.

    Raises:
        ForecastError: JAX is not installed.
    """
    try:
        return import_module(f"foreshard.forecast.lstm.{module}")
    except ImportError as error:
        raise ForecastError(
            f"lstm: JAX is missing ({error}); pip install 'foreshard[lstm]'"
        ) from error
