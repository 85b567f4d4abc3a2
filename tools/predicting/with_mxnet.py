"""Prediction with MXNet, from a .params file."""
import os
import re
from dataclasses import replace

from ademxapp import driver
from ademxapp.cli import UsageError
from ademxapp.symbol import network, parse_label
from ademxapp.weights.parameters import load_parameters
from iclass.datasets import dataset_record as classification_record
from iclass.settings import ClassificationSettings
from iclass.testing import Views, load_network, make_predictor
from issegm.datasets import dataset_record as segmentation_record
from issegm.settings import SegmentationSettings
from issegm.sources import load_weights, make_network


def open_network(args):
    """The network of `--weights`; UsageError if its file's name or dataset is not known."""
    segmentation = is_segmentation(args.weights)
    try:
        label = parse_label(args.weights)
        make = segmentation_record if segmentation else classification_record
        record = make(args.dataset or label.dataset, label.classes, args.dataset_file)
        asked = (SegmentationSettings if segmentation else ClassificationSettings).from_recorded(
            {**vars(args), "phase": "test"})
        return MxnetNetwork(driver.checked_dtype(asked), label, record, network(label.network).input, segmentation)
    except ValueError as error:
        raise UsageError(str(error)) from None


def is_segmentation(path):
    """Whether weights are of a segmentation network: the last layer is a convolution."""
    tops = [value for name, value in load_parameters(path).args.items() if re.fullmatch(r"linear\d+_weight", name)]
    if not tops:
        raise ValueError(f"{path} has no classifier, linear<classes>_weight: wanted weights of one of the drivers")
    return tops[0].ndim == 4


class MxnetNetwork:
    """A network and what is known of it.

    Attributes
    ----------
    task : str
        "segmentation" or "classification".
    record : SegmentationDataset or ClassificationDataset
    settings : object
        With `mean`, `std` and `interpolation`.
    scales : tuple of int
        To test at.
    versions : dict
        {name: version} of what a result depends on.
    """

    def __init__(self, asked, label, record, settings, segmentation):
        self.task = "segmentation" if segmentation else "classification"
        self.record, self.settings, self.versions = record, settings, driver.versions()
        self.scales = asked.test_scales or (record.largest_side if segmentation else settings.test_crop,)
        dataset = asked.dataset or label.dataset
        self._asked, self._label = replace(asked, test_scales=self.scales, dataset=dataset,
                                           data_root=asked.data_root or os.path.join("data", dataset)), label

    def segmenter(self, log):
        """A `Network` that gives score maps."""
        asked = self._asked
        return make_network(asked, load_weights(asked.weights, self._label), self.record, driver.devices(asked, log),
                            log)

    def classifier(self, log):
        """A callable from inputs (N, 3, H, W) to probabilities (N, classes)."""
        asked = self._asked
        views = Views(self.scales, flipping=asked.test_flipping)
        return make_predictor(asked, load_network(asked.weights, self._label, asked.pool_top_infer_style), views,
                              driver.devices(asked, log), log)
