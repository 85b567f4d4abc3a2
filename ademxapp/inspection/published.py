"""What the paper prints of its networks: Tables 1 and 2."""
from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class Classifier:
    """A row of Table 1: depth, training crop (pixels), top-1 and top-5 errors (%), images per second on a GTX 980."""

    network: str
    depth: int
    crop: int
    top1_error: float
    top5_error: float
    speed: Optional[float] = None


@dataclass(frozen=True)
class Memory:
    """A row of Table 2: features, head, and GB per device in fine-tuning with four images on each."""

    network: str
    head: str
    gigabytes: float


TABLE1 = (
    Classifier("vgg-16", 16, 224, 28.1, 9.3, 9.21),  # ten crops an image
    Classifier("rn-50", 50, 224, 23.5, 6.8, 89.0),
    Classifier("rn-101", 101, 224, 22.1, 6.1, 73.2),
    Classifier("rn-152", 152, 224, 21.8, 5.8, 53.8),
    Classifier("rnp-152", 152, 224, 21.1, 5.5),
    Classifier("rnp-200", 200, 224, 20.7, 5.3),
    Classifier("inception-v4", 76, 299, 20.0, 5.0, 80.0),
    Classifier("inception-resnet-v2", 96, 299, 19.9, 4.9, 56.0),
    Classifier("rna-f", 34, 56, 25.2, 7.8, 83.5),
    Classifier("rna-e", 26, 112, 22.3, 6.2, 92.3),
    Classifier("rna-d", 34, 112, 22.1, 6.0, 70.6),
    Classifier("rna-c", 42, 112, 21.8, 5.9, 57.1),
    Classifier("rna-224-0-1-1-1-1-1-1", 16, 224, 22.0, 5.8, 73.4),
    Classifier("rna-b", 20, 224, 21.0, 5.5, 62.1),
    Classifier("rna-a", 38, 224, 19.2, 4.7, 21.7),
)
TABLE2_MEMORY = (  # segmentation uses the strided forms (paper section 5, "Resolution")
    Memory("vgg-16", "1conv", 3.41),
    Memory("rn-101", "1conv", 12.3),
    Memory("rn-152", "1conv", 16.7),
    Memory("rna-f1", "1conv", 11.7),
    Memory("rna-e1", "1conv", 10.1),
    Memory("rna-d1", "1conv", 11.7),
    Memory("rna-c1", "1conv", 13.4),
    Memory("rna-b1", "1conv", 7.6),
    Memory("rna-a1", "1conv", 11.0),
    Memory("rna-a1", "2conv", 11.8),
)
