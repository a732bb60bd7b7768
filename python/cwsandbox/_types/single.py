"""Objects that stand for something outside of the memory of this process."""

from __future__ import annotations

from cwsandbox._types.annotations import on_demand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


@on_demand
class Single:
    """Can be neither copied nor pickled: a second object would end, or count, the same thing again."""

    # What to do instead.
    _instead: str

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"{self!r} cannot be copied or pickled: {self._instead}")
