"""Networks: pure functions that return a graph, MXNet's Symbol or one that is recorded without MXNet."""
from ademxapp.symbol.labels import Label, label_epoch, label_stem, parse_label
from ademxapp.symbol.layers import SymbolOptions
from ademxapp.symbol.networks import whole_cells
from ademxapp.symbol.zoo import classification_symbol, known_networks, network, output_stride, segmentation_symbol

__all__ = ["Label", "SymbolOptions", "classification_symbol", "known_networks", "label_epoch", "label_stem", "network",
           "output_stride", "parse_label", "segmentation_symbol", "whole_cells"]
