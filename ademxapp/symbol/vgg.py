"""VGG16 (Simonyan and Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition")."""
from dataclasses import replace

from ademxapp.symbol import layers
from ademxapp.symbol.layers import Scope
from ademxapp.symbol.options import IMAGENET, Network
from ademxapp.symbol.recorder import Symbol

LEVELS = {1: (64, 64), 2: (128, 128), 3: (256, 256, 256), 4: (512, 512, 512), 5: (512, 512, 512)}
DROPOUT = 0.5


def vgg_features(scope: Scope, data: Symbol, stride: int) -> Symbol:
    """The pooled maps of the last convolutions, (N, 512 x width, H / stride, W / stride)."""
    out = data
    resolution = layers.Resolution(stride)
    for level, counts in LEVELS.items():
        for i, channels in enumerate(counts, start=1):
            out = layers.conv(scope, out, f"conv{level}_{i}", scope.channels(channels), bias=True,
                              dilation=resolution.dilation)
            out = layers.relu(scope, out, f"relu{level}_{i}")
        out = layers.max_pool(scope, out, f"pool{level}", *resolution.halve(), kernel=2)
    return out


def dense_vgg_features(scope: Scope, data: Symbol, stride: int) -> Symbol:
    """Features for segmentation, (N, 1024 x width, H / stride, W / stride): fc6, fc7 as DeepLab's wide convolutions."""
    out = vgg_features(scope, data, stride)
    for name, kernel in (("fc6", 3), ("fc7", 1)):
        out = layers.conv(scope, out, name, scope.channels(1024), kernel, dilation=12, bias=True)
        out = layers.dropout(scope, layers.relu(scope, out, f"relu{name[-1]}"), f"drop{name[-1]}", DROPOUT)
    return out


def vgg_classifier(scope: Scope, features: Symbol, classes: int) -> Symbol:
    """Scores (N, classes): three fully connected layers. The size of the image is part of the first one's weights."""
    out = scope.sym.Flatten(features)
    for name in ("fc6", "fc7"):
        out = layers.relu(scope, layers.fc(scope, out, name, scope.channels(4096)), f"relu{name[-1]}")
        out = layers.dropout(scope, out, f"drop{name[-1]}", DROPOUT, always=True)
    return layers.fc(scope, out, f"linear{classes}", classes)


NETWORKS = {"vgg-16": Network(vgg_features, replace(IMAGENET, test_crop=224), native_stride=32, depth=16,
                              classifier=vgg_classifier, dense_features=dense_vgg_features)}
