"""Prediction with onnxruntime, from a file that tools/weights.py export wrote; nothing here imports MXNet."""
import numpy as np

from ademxapp.cli import UsageError
from ademxapp.deploy.onnx_model import OnnxModel
from ademxapp.evaluation.dense import DenseSettings
from ademxapp.evaluation.multiscale import Network
from ademxapp.evaluation.windows import predict_in_windows
from ademxapp.logs import library_versions
from ademxapp.symbol import whole_cells
from iclass.datasets import ClassificationDataset
from issegm.datasets import SegmentationDataset

IN_FILE = ("gpus", "cpus", "dataset", "dataset_file", "pool_top_infer_style", "dtype",
           "calibrate_list", "data_root")  # arguments that cannot change anything


def open_network(args):
    """The network of `--model`; ValueError if the file is none, UsageError for arguments that are not for it."""
    idle = [f"--{name.replace('_', '-')}" for name in IN_FILE if getattr(args, name) is not None]
    if idle:
        raise UsageError(f"{', '.join(idle)} with --model: an ONNX file says itself what its classes are, and runs on "
                         "the CPU")
    model = OnnxModel(args.model)
    if args.window and model.size:
        raise UsageError("--window with --model: {} takes inputs of {}x{} pixels only, which are its windows".format(
            args.model, *model.size[::-1]))
    try:
        return OnnxNetwork(args, model, record_of(model.description))
    except ValueError as error:
        raise ValueError(f"{args.model}: {error}") from None


def record_of(description):
    """The dataset's record, as far as a `Description` has it."""
    dataset = description.label.partition("_")[0]
    if description.task == "classification":
        return ClassificationDataset(dataset, description.class_names)
    return SegmentationDataset(dataset, description.class_names, description.label_ids, (), description.palette,
                               same_size=description.same_size)


class OnnxNetwork:
    """A network and what is known of it: the attributes and methods of `MxnetNetwork`."""

    def __init__(self, args, model, record):
        import onnxruntime
        self.task, self.record, self.settings = model.description.task, record, model.description
        self.scales = args.test_scales or (default_scale(model),)
        self.versions = library_versions(onnxruntime=onnxruntime.__version__)
        self._model, self._flipping, self._window = model, args.test_flipping, args.window

    def segmenter(self, log):
        """A `Network` that gives score maps."""
        known = self.settings
        window = whole_cells(self._window or 0, known.stride)
        dense = DenseSettings(known.mean, known.std, known.stride, flipping=self._flipping, square=not known.same_size,
                              interpolation=known.interpolation, window=window)
        if self._model.size:
            log.info("inputs go through the network in parts of %dx%d pixels, for which alone the file is",
                     *self._model.size[::-1])
        return Network(of_any_size(self._model), self.scales, dense, self._model.path)

    def classifier(self, log):
        """A callable from inputs (N, 3, H, W) to probabilities (N, classes)."""
        return self._model


def of_any_size(model):
    """A segmenting `OnnxModel` that takes inputs of any number of whole cells.

    If the file is for one size, larger inputs go through it in overlapping windows of that size, and smaller ones
    with the mean colour beside them.
    """
    if model.size is None:
        return model
    cell = model.description.stride

    def predict(data):
        height, width = data.shape[2:]
        beside = [(0, max(0, own - side)) for own, side in zip(model.size, (height, width))]
        scores = predict_in_windows(model, np.pad(data, ((0, 0), (0, 0), *beside)), model.size, cell)
        return scores[:, :, :height // cell, :width // cell]
    return predict


def default_scale(model):
    """The scale that the file names; of a classifier for one size, that size."""
    if model.description.task == "segmentation" or model.size is None:
        return model.description.test_scale
    return max(model.size)
