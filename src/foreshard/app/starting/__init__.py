"""What `foreshard init` finds out, and how it becomes a first configuration."""

from foreshard.app.starting.gauges import Limits
from foreshard.app.starting.listed import class_of
from foreshard.app.starting.start import Source, Wishes, drafted, found, write

__all__ = ["Limits", "Source", "Wishes", "class_of", "drafted", "found", "write"]
