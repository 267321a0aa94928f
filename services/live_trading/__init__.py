"""The Python entry under the name that document 002 gives it; what it does is owned by ``walstreet_services.live``."""

from walstreet_services.live.system import LiveTradingManager, LiveTradingSystem

__all__ = ["LiveTradingManager", "LiveTradingSystem"]
