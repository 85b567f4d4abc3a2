"""Prediction with onnxruntime, from a file that tools/weights.py export wrote; nothing here imports MXNet."""
from ademxapp.cli import UsageError
from ademxapp.deploy.onnx_model import OnnxModel
from ademxapp.evaluation.dense import DenseSettings
from ademxapp.evaluation.multiscale import Network
from ademxapp.logs import library_versions
from iclass.datasets import ClassificationDataset
from issegm.datasets import SegmentationDataset

IN_FILE = ("gpus", "cpus", "dataset", "dataset_file", "pool_top_infer_style")  # arguments that cannot change anything


def open_network(args):
    """The network of `--model`; ValueError if the file is none, UsageError for arguments that are not for it."""
    idle = [f"--{name.replace('_', '-')}" for name in IN_FILE if getattr(args, name) is not None]
    if idle:
        raise UsageError(f"{', '.join(idle)} with --model: an ONNX file says itself what its classes are, and runs on "
                         "the CPU")
    model = OnnxModel(args.model)
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
        self._model, self._flipping = model, args.test_flipping

    def segmenter(self, log):
        """A `Network` that gives score maps."""
        known = self.settings
        dense = DenseSettings(known.mean, known.std, known.stride, flipping=self._flipping, square=not known.same_size,
                              interpolation=known.interpolation)
        return Network(self._model, self.scales, dense, self._model.path)

    def classifier(self, log):
        """A callable from inputs (N, 3, H, W) to probabilities (N, classes)."""
        return self._model


def default_scale(model):
    """The scale that the file names, or the one that its only size is for."""
    scale, cell = model.description.test_scale, model.description.stride
    if model.size is None or (model.description.task == "segmentation" and -(-scale // cell) * cell == max(model.size)):
        return scale
    return max(model.size)
