"""The networks of "Wider or Deeper" (Wu, Shen, van den Hengel 2016) as a PyTorch module. Needs nothing but PyTorch.

Copy this file next to converted weights (`python tools/weights.py convert <…>.params <…>.pth`):

    net = Rna("a1", classes=1000)                                        # a classifier: scores (N, 1000)
    net = Rna("a1", classes=21, stride=8, head="2conv")                  # a segmenter: (N, 21, H / 8, W / 8)
    net = Rna("224-0-1-2-3-3-1-1-c", classes=1000)                       # any network in the paper's notation
    net.load_state_dict(torch.load("….pth", weights_only=True))
    scores = net.eval()((image / 255 - MEAN) / STD)                      # RGB, (N, 3, H, W); softmax is left to you

Modules and parameters have the names of `network/resnet38d.py` in PSA (AffinityNet), SEAM and their successors, so
those programs load the weights too (they leave `linear1000` aside). They normalise batches with PyTorch's epsilon,
1e-5; the released weights were trained with the one below.
"""
import torch
from torch import nn
from torch.nn import functional as F

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
BN_EPS = 1.001e-5

# The training crop, and the number of residual units on each of the levels B1 to B7.
NOTATIONS = {
    "a": (224, 0, 3, 3, 6, 3, 1, 1),
    "b": (224, 0, 1, 1, 1, 3, 1, 1),
    "c": (112, 1, 1, 1, 1, 13, 1, 1),
    "d": (112, 1, 1, 1, 1, 9, 1, 1),
    "e": (112, 1, 1, 1, 1, 5, 1, 1),
    "f": (56, 1, 1, 1, 1, 9, 1, 1),
}
HALVINGS = {224: 5, 112: 4, 56: 3}  # before B2, B3, …
# Channels and kernels of a unit's convolutions, and the dropout before the last of them where the network segments.
LEVELS = {
    1: ((64, 64), (3, 3), 0),
    2: ((128, 128), (3, 3), 0),
    3: ((256, 256), (3, 3), 0),
    4: ((512, 512), (3, 3), 0),
    5: ((512, 1024), (3, 3), 0),
    6: ((512, 1024, 2048), (1, 3, 1), 0.3),
    7: ((1024, 2048, 4096), (1, 3, 1), 0.5),
}
HEAD_CHANNELS, HEAD_DILATION = 512, 12


class Unit(nn.Module):
    """A full pre-activation unit; the first unit of B2 … B7 has a 1x1 projection of the activated input beside it."""

    def __init__(self, inputs: int, channels: "list[int]", kernels: "tuple[int, ...]", project: bool, stride: int,
                 dilations: "tuple[int, int]", dropout: float) -> None:
        super().__init__()
        self.branches = ["branch2a"] + [f"branch2b{i}" for i in range(1, len(channels))]
        if project:
            self.conv_branch1 = nn.Conv2d(inputs, channels[-1], 1, stride, bias=False)
        for i, (branch, count, kernel) in enumerate(zip(self.branches, channels, kernels)):
            dilation = (dilations[0] if i == 0 else dilations[1]) if kernel > 1 else 1
            self.add_module(f"bn_{branch}", nn.BatchNorm2d(inputs, eps=BN_EPS))
            self.add_module(f"conv_{branch}", nn.Conv2d(inputs, count, kernel, stride if i == 0 else 1,
                                                        dilation * (kernel // 2), dilation, bias=False))
            inputs = count
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps of the unit."""
        out = x
        for branch in self.branches:
            out = F.relu(getattr(self, f"bn_{branch}")(out))
            if branch == "branch2a" and hasattr(self, "conv_branch1"):
                x = self.conv_branch1(out)
            if branch == self.branches[-1]:
                out = self.dropout(out)
            out = getattr(self, f"conv_{branch}")(out)
        return x + out


class Pool(nn.Module):
    """3x3 max pooling; with stride 1, over cells that lie `dilation` apart."""

    def __init__(self, stride: int, dilation: int, style: "str | None") -> None:
        super().__init__()
        self.stride, self.dilation, self.style = stride, dilation, style

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The largest values."""
        if self.stride > 1:
            return F.max_pool2d(x, 3, self.stride, padding=int(self.style is None), ceil_mode=self.style == "full")
        before = self.dilation if self.style is None else 0
        behind = 2 * self.dilation - before
        padded = F.pad(x, (before, behind, before, behind), value=float("-inf"))
        return F.max_pool2d(padded, 3, 1, dilation=self.dilation)


class Rna(nn.Module):
    """A network of the family: "a" to "f" halve the maps by max pooling, "a1" to "f1" by strided convolutions.

    "a2" is built as "a1". Any other has the paper's notation, such as "224-0-3-3-6-3-1-1", with "-c" behind it for
    strided convolutions. `stride` is in input pixels per cell of the maps, by default the network's own (32, 16, 8);
    halvings beyond it become dilation. A `head`, "1conv" or "2conv", makes it a segmenter. `width` multiplies every
    number of channels. `pool_style` is of poolings that halve: None for padding 1, else padding 0 with sizes rounded
    down ("caffe": the released Model A is tested so) or up ("full"). With `two_scales` (names with "-2s"), the features
    are of the image at full and at half resolution, side by side.
    """

    def __init__(self, name: str = "a1", classes: int = 1000, stride: "int | None" = None, head: "str | None" = None,
                 width: float = 1.0, pool_style: "str | None" = None, two_scales: bool = False) -> None:
        super().__init__()
        if head not in (None, "1conv", "2conv"):
            raise ValueError(f"head is {head!r}; known are None, 1conv, 2conv")
        if pool_style not in (None, "caffe", "full"):
            raise ValueError(f"pool_style is {pool_style!r}; known are None, caffe, full")
        (crop, *units), strided = parsed(name)
        self.head, self.classes, self.two_scales = head, classes, two_scales
        self.path = self._features(units, HALVINGS[crop], strided, stride, width, pool_style)
        features = scaled(LEVELS[7][0][-1], width)
        self.bn7 = nn.BatchNorm2d(features, eps=BN_EPS)
        features *= 2 if two_scales else 1
        wide = {"kernel_size": 3, "padding": HEAD_DILATION, "dilation": HEAD_DILATION}
        if head == "2conv":
            self.conv6a = nn.Conv2d(features, scaled(HEAD_CHANNELS, width), **wide)
            features = scaled(HEAD_CHANNELS, width)
        self.add_module(f"linear{classes}", nn.Conv2d(features, classes, **wide) if head else
                        nn.Linear(features, classes))

    def _features(self, units: "list[int]", halvings: int, strided: bool, stride: "int | None", width: float,
                  pool_style: "str | None") -> "list[str]":
        """Make conv1a, the units and the poolings; their names in order."""
        channels, reached, dilation = scaled(64, width), 1, 1
        stride = 2 ** halvings if stride is None else stride
        if stride not in (8, 16, 2 ** halvings) or stride > 2 ** halvings:
            raise ValueError(f"stride {stride}: this network has {2 ** halvings}, and 8 and 16 where they are smaller")
        self.conv1a = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        path = ["conv1a"]
        for level, (counts, kernels, dropout) in LEVELS.items():
            counts = [scaled(count, width) for count in counts]
            step, first_dilation = 1, dilation
            if 2 <= level < 2 + halvings:
                step = 2 if reached < stride else 1
                reached, before, dilation = reached * step, dilation, dilation * (2 // step)
                if not strided:
                    path.append(f"pool{level - 1}")
                    self.add_module(path[-1], Pool(step, before, pool_style))
                    step, first_dilation = 1, dilation
            for i in range(units[level - 1]):
                first = i == 0 and level > 1
                path.append(f"b{level}" if first else f"b{level}_{i + (level == 1)}")
                self.add_module(path[-1], Unit(channels, counts, kernels, first, step if first else 1,
                                               (first_dilation if i == 0 else dilation, dilation),
                                               dropout if self.head else 0))
                channels = counts[-1]
        return path

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """What the classifier stands on, (N, 4096 x width, H / stride, W / stride); of two scales twice as wide."""
        full = self._one_scale(x)
        if not self.two_scales:
            return full
        half = self._one_scale(F.avg_pool2d(x, 2))
        return torch.cat([full, F.interpolate(half, full.shape[2:], mode="bilinear", align_corners=True)], 1)

    def _one_scale(self, x: torch.Tensor) -> torch.Tensor:
        for name in self.path:
            x = getattr(self, name)(x)
        return F.relu(self.bn7(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of classes, before the softmax: (N, classes), or of a segmenter (N, classes, H / stride, W / stride).

        `x` is (N, 3, H, W), RGB / 255, less MEAN, over STD.
        """
        out = self.features(x)
        if self.head is None:
            out = out.mean((2, 3))
        if self.head == "2conv":
            out = F.relu(self.conv6a(out))
        return getattr(self, f"linear{self.classes}")(out)


def parsed(name: str) -> "tuple[tuple[int, ...], bool]":
    """((training crop, units on B1, …, B7), whether the maps are halved by strided convolutions) of a name."""
    if name[:1] in NOTATIONS and (name[1:] in ("", "1") or name == "a2"):
        return NOTATIONS[name[0]], name[1:] != ""
    strided = name.endswith("-c")
    parts = name[:-2 if strided else None].split("-")
    numbers = tuple(int(part) for part in parts if part.isdecimal())
    if len(parts) != 8 or len(numbers) != 8 or numbers[0] not in HALVINGS or min(numbers[2:]) < 1:
        raise ValueError(f"network {name!r} is not known; known are a to f, a1 to f1, a2, and the paper's notation, "
                         "such as 224-0-3-3-6-3-1-1: crop (224, 112, 56), units on B1 to B7 (from B2 on at least "
                         "1), and -c if strided")
    return numbers, strided


def scaled(count: int, width: float) -> int:
    """A number of channels times the width, rounded, at least 1."""
    return max(1, int(round(count * width)))
