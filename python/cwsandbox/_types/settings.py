"""Where a setting comes from."""

from __future__ import annotations

from cwsandbox._types.standard import SETTINGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from cwsandbox._types.defaults import SandboxDefaults


def settings(given: Mapping[str, Any], defaults: SandboxDefaults | None) -> Callable[[str], Any]:
    """Looks a setting up: as given, else by the defaults, else the standard one; None when it has no value."""

    def value(name: str) -> Any:
        if given.get(name) is not None:
            return given[name]
        return SETTINGS.get(name) if defaults is None else getattr(defaults, name)

    return value
