"""Segmentation scores that the paper has: {(network, head): (pixel accuracy, mean accuracy, mean IoU)}, in percent."""

VOC_VAL = {  # Table 2
    ("vgg-16", "1conv"): (92.84, 77.52, 68.33), ("rn-101", "1conv"): (94.52, 82.17, 75.35),
    ("rn-152", "1conv"): (94.56, 82.12, 75.37), ("rna-f1", "1conv"): (92.91, 76.26, 68.36),
    ("rna-e1", "1conv"): (94.13, 80.84, 73.64), ("rna-d1", "1conv"): (94.59, 82.50, 75.66),
    ("rna-c1", "1conv"): (94.56, 82.01, 75.45), ("rna-b1", "1conv"): (93.94, 80.96, 73.37),
    ("rna-a1", "1conv"): (95.28, 85.23, 78.76), ("rna-a2", "1conv"): (95.16, 85.72, 78.14),
    ("rna-a1", "2conv"): (95.70, 86.26, 80.84)}
CITYSCAPES_VAL = {  # Table 4
    ("rn-101", "1conv"): (95.49, 81.76, 73.63), ("rn-152", "1conv"): (95.53, 81.61, 73.50),
    ("rna-a1", "1conv"): (95.80, 83.81, 76.57), ("rna-a2", "1conv"): (95.91, 84.48, 77.18),
    ("rna-a2", "2conv"): (96.05, 84.96, 77.86)}
ADE20K_VAL = {  # Table 4
    ("rn-101", "2conv"): (79.07, 48.73, 39.40), ("rn-152", "2conv"): (79.33, 49.55, 39.77),
    ("rna-e1", "2conv"): (79.61, 50.46, 41.00), ("rna-d1", "2conv"): (79.87, 51.34, 41.91),
    ("rna-c1", "2conv"): (80.53, 52.32, 43.06), ("rna-a1", "2conv"): (80.41, 52.86, 42.71),
    ("rna-a2", "2conv"): (81.17, 53.84, 43.73)}
# Of the authors' best, whose network and head the tables do not name.
PASCAL_CONTEXT_VAL = {"pixel_acc": 75.0, "mean_acc": 58.1, "mean_iou": 48.1}  # Table 7
VOC_TEST = {"mean_iou": 82.5, "mean_iou_with_coco": 84.9}  # Table 3
CITYSCAPES_TEST = {"mean_iou": 81.3, "mean_iou_of_categories": 91.5}  # Table 5
ADE20K_TEST = {"mean_of_pixel_acc_and_mean_iou": 56.41}  # Table 6


def by_split(val, best):
    """A record's `paper`, {(network, head, split): {score: percent}}; `best` is {split: {score: percent}}."""
    scores = {(network, head, "val"): dict(zip(("pixel_acc", "mean_acc", "mean_iou"), row))
              for (network, head), row in val.items()}
    return {**scores, **{(None, None, split): row for split, row in best.items()}}
