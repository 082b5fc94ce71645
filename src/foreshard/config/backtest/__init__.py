"""What a backtest is told, parsed and refused once, at the edge."""

from foreshard.config.backtest.reading import load_backtest, read_backtest
from foreshard.config.backtest.schema import backtest_schema_text
from foreshard.config.backtest.settings import BacktestSettings

__all__ = ["BacktestSettings", "backtest_schema_text", "load_backtest", "read_backtest"]
