"""Semantic segmentation: datasets, their images, the driver; `Segmenter`, the entrance from Python."""
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from issegm.segmenter import Segmenter

__all__ = ["Segmenter"]


def __getattr__(name: str) -> Any:  # imported when it is asked for: reading workers import this package, too
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from issegm.segmenter import Segmenter
    return Segmenter
