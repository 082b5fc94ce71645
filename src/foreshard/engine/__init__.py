"""One decision: what was seen and foreseen goes in, a plan and its reasons come out."""

from foreshard.engine.decision import Engine
from foreshard.engine.state import EngineState

__all__ = ["Engine", "EngineState"]
