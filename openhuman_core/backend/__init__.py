"""How the hosted API is reached: routes, credentials, one client, and what carries its bytes."""

import sys
from types import ModuleType

# httpx loads a command line of its own, and with it what draws on terminals: a quarter of the time of a first call.
_unused = ModuleType("httpx._main")
_unused.main = lambda: None  # type: ignore[attr-defined]
sys.modules.setdefault("httpx._main", _unused)
