"""Files of random weights."""
from ademxapp.symbol import SymbolOptions, classification_symbol, parse_label, segmentation_symbol
from ademxapp.weights.parameters import parameter_shapes, save_parameters, start_afresh


def make_weights(path, label, seed=0):
    """Random weights."""
    symbol = classification_symbol(parse_label(label), SymbolOptions(bn_use_global_stats=True))
    parameters = start_afresh(parameter_shapes(symbol, data=(1, 3, 32, 32)), seed)
    save_parameters(str(path), parameters)
    return str(path)


def random_weights(path, seed=0):
    """Weights in the shapes that their label says, random."""
    label = parse_label(path)
    symbol = segmentation_symbol(label) if label.stride else classification_symbol(label)
    save_parameters(path, start_afresh(parameter_shapes(symbol, data=(1, 3, 224, 224)), seed))
