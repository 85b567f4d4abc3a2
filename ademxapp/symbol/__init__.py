"""Networks: pure functions that return a graph, MXNet's Symbol or one that is recorded without MXNet."""
from ademxapp.symbol.options import Label, SymbolOptions, label_epoch, label_stem, parse_label, whole_cells
from ademxapp.symbol.zoo import classification_symbol, known_networks, network, output_stride, segmentation_symbol

__all__ = ["Label", "SymbolOptions", "classification_symbol", "known_networks", "label_epoch", "label_stem", "network",
           "output_stride", "parse_label", "segmentation_symbol", "whole_cells"]
