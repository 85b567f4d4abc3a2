"""PASCAL VOC 2012: 20 classes and background.

    <root>/
      VOC2012/
        JPEGImages/*.jpg
        SegmentationClass/*.png
        ImageSets/Segmentation/
          train.txt
          val.txt
          trainval.txt     [optional]
          test.txt         [optional] of the test set's download; its images have no labels
"""
import os

from ademxapp.data.lists import Sample
from issegm.datasets import DATASETS
from tools.preparing.common import Split, lines_of
from tools.preparing.pairs import Pairs


def splits(args):
    """The splits of the image sets."""
    for name in ("train", "val", "trainval", "test"):
        if os.path.isfile(os.path.join(args.root, f"VOC2012/ImageSets/Segmentation/{name}.txt")):
            samples, origins = [], []
            for image, origin in lines_of(args.root, f"VOC2012/ImageSets/Segmentation/{name}.txt"):
                label = None if name == "test" else f"VOC2012/SegmentationClass/{image}.png"
                samples.append(Sample(args.root, f"VOC2012/JPEGImages/{image}.jpg", label_image=label))
                origins.append(origin)
            yield Split("voc", name, samples, Pairs(DATASETS["voc"]), origins)
