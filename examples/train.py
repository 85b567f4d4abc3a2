"""A training loop of your own: a network of the paper, the loader, and a loop in which you can change everything.

    python examples/train.py my_pets data/pets 10

trains Model A1 at an eighth of its width on data/pets/train/<class>/<image>, ten epochs, and writes
my-pets_rna-a1-w0.125_cls<N>_ep-0010.params, with what testing needs to know beside it. iclass/ilsvrc.py does the same
and more (schedules, snapshots, several devices). In a clone that is not installed: PYTHONPATH=.
"""
import sys

import numpy as np

from ademxapp import engine
from ademxapp.data.class_folders import class_folders, scan_tree
from ademxapp.data.loader import Loader
from ademxapp.symbol import classification_symbol, network, output_stride, parse_label
from ademxapp.weights.description import CLASSIFICATION, Description
from ademxapp.weights.parameters import parameter_shapes, save_checkpoint, start_afresh
from iclass.datasets import TrainImages

CROP, BATCH, RATE = 96, 32, 0.05


def main(name: str, root: str, epochs: int) -> None:
    """Train on the class folders in <root>/train."""
    classes = class_folders(f"{root}/train")
    label = parse_label(f"{name.lower().replace('_', '-')}_rna-a1-w0.125_cls{len(classes)}")
    inputs = network(label.network).input
    images = scan_tree(root, "train", len(classes))
    if len(images) < BATCH:
        sys.exit(f"{root}/train has {len(images)} images, wanted at least {BATCH}: add some, or lower BATCH")
    loader = Loader(TrainImages(images, CROP, inputs), BATCH, shuffle=True, drop_last=True, workers=2)
    symbol = classification_symbol(label)
    backend = engine.load()  # MXNet or, where that is not installed, PyTorch
    module = backend.Module(symbol, backend.devices(), True)
    module.bind(loader.data_shape, loader.label_shape)
    module.init_params(start_afresh(parameter_shapes(symbol, data=loader.data_shape), seed=0))
    module.init_optimizer("sgd", {"learning_rate": RATE, "momentum": 0.9, "wd": 1e-4, "rescale_grad": 1 / BATCH})
    for epoch in range(epochs):
        losses, right = [], []
        loader.start(epoch)
        for batch in loader:
            module.forward(batch.data, batch.label)
            module.backward()
            module.update()
            probs = module.get_outputs()[0]  # (N, classes)
            truth = batch.label.astype(int)
            losses.append(-np.log(probs[np.arange(BATCH), truth] + 1e-12).mean())
            right.append((probs.argmax(1) == truth).mean())
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}, accuracy {np.mean(right):.1%}", flush=True)
    loader.close()
    about = Description(str(label), CLASSIFICATION, label.classes, output_stride(label), inputs.mean, inputs.std,
                        inputs.interpolation, test_scale=CROP, crop_size=CROP, class_names=tuple(classes),
                        versions=backend.versions())
    print(save_checkpoint(".", str(label), epochs, symbol, module.get_params(), about.values()))


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
