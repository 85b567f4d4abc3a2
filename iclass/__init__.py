"""Image classification: datasets, their images, the driver; `Classifier`, the entrance from Python."""
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iclass.classifier import Classifier

__all__ = ["Classifier"]


def __getattr__(name: str) -> Any:  # imported when it is asked for: reading workers import this package, too
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from iclass.classifier import Classifier
    return Classifier
