"""What stands between the features and the loss: class scores."""
import re

from ademxapp.symbol import layers
from ademxapp.symbol.layers import Scope
from ademxapp.symbol.recorder import Symbol

# Parameters of what stands on the features, which another task starts afresh; VGG16's fc6 and fc7 change their kernels.
TOP = re.compile(r"(linear\d+|conv6a|fc6|fc7)_(weight|bias)")

HEADS = ("2conv", "1conv")
DILATION = 12  # the large field of view of DeepLab-v2 (paper section 5, "Classifier")


def classifier(scope: Scope, features: Symbol, classes: int, pool: str = "pool7", dropout: float = 0.0) -> Symbol:
    """Scores (N, classes) over features (N, C, H, W): global average, dropout if any, `linear<classes>`."""
    pooled = layers.dropout(scope, layers.global_pool(scope, features, pool), "drop_last", dropout, always=True)
    return layers.fc(scope, pooled, f"linear{classes}", classes)


def segmentation_head(scope: Scope, features: Symbol, classes: int, head: str) -> Symbol:
    """Score maps (N, classes, H, W): `linear<classes>` as a dilated convolution, after `conv6a` in a "2conv" head."""
    if head not in HEADS:
        raise ValueError(f"head is {head!r}; known are {', '.join(HEADS)}")
    out = features
    if head == "2conv":
        out = layers.conv(scope, out, "conv6a", scope.channels(512), dilation=DILATION, bias=True)
        out = layers.relu(scope, out, "relu6a")
    return layers.conv(scope, out, f"linear{classes}", classes, dilation=DILATION, bias=True)
