"""What the drivers of both tasks share: devices, logs, samples, the start of a training, the folder of a test."""
from ademxapp.driver.environment import Stopwatch, devices, join, open_log, versions
from ademxapp.driver.resolving import checked_dtype, checked_testing, checked_training, named_run, tested_weights
from ademxapp.driver.results import discard_result, read_result, test_folder, write_result
from ademxapp.driver.samples import VALIDATION, calibration_images, find_samples, validation_data
from ademxapp.driver.training import CLASSIFICATION, SEGMENTATION, train

__all__ = ["CLASSIFICATION", "SEGMENTATION", "VALIDATION", "Stopwatch", "calibration_images", "checked_dtype",
           "checked_testing", "checked_training", "devices", "discard_result", "find_samples", "join", "named_run",
           "open_log", "read_result", "test_folder", "tested_weights", "train", "validation_data", "versions",
           "write_result"]
