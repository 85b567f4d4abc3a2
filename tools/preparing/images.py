"""Images with a class each: how they are checked, listed and summed up."""
from collections import Counter
from dataclasses import dataclass, field
from typing import Dict, Tuple

from ademxapp.data.images import decode_rgb, read_bytes
from ademxapp.data.lists import write_classification_list
from tools.preparing.pairs import size_lines


@dataclass(frozen=True)
class Images:
    """The samples of a classification dataset; `sizes` is {split: images} of the whole dataset."""

    class_names: Tuple[str, ...]
    sizes: Dict[str, int] = field(default_factory=dict)

    def inspect(self, sample):
        """(width, height); ValueError or OSError if the image is broken."""
        height, width, _ = decode_rgb(read_bytes(sample.image_path), sample.image_path).shape
        return width, height

    def write_list(self, path, samples):
        """Write the list of `samples`."""
        write_classification_list(path, samples)

    def summary(self, samples, findings):
        """Lines about sizes, classes and oddities."""
        yield from size_lines(findings)
        counts = Counter(sample.class_id for sample in samples)
        by_count = sorted(counts.values())
        yield (f"{len(counts)} of {len(self.class_names)} classes, with {by_count[0]} to {by_count[-1]} images, "
               f"{by_count[len(by_count) // 2]} in the median")
        never = [name for class_id, name in enumerate(self.class_names) if class_id not in counts]
        if never:
            more = f", and {len(never) - 10} more" if len(never) > 10 else ""
            yield f"odd: classes that never occur: {', '.join(never[:10])}{more}"
