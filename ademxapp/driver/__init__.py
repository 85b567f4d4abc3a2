"""What the drivers of both tasks share: arguments, devices, logs, the start of a training, the folder of a test."""
from ademxapp.driver.arguments import (
    add_data_arguments,
    add_device_arguments,
    add_shared_arguments,
    add_testing_arguments,
    check_training_arguments,
    require_testing_arguments,
    run_label,
    what_matters,
)
from ademxapp.driver.environment import Stopwatch, devices, join, open_log, versions
from ademxapp.driver.precision import calibration_samples, check_dtype, make_predictor
from ademxapp.driver.results import discard_result, read_result, test_folder, write_result
from ademxapp.driver.samples import find_samples, validation_arguments
from ademxapp.driver.training import CLASSIFICATION, SEGMENTATION, train

__all__ = ["CLASSIFICATION", "SEGMENTATION", "Stopwatch", "add_data_arguments", "add_device_arguments",
           "add_shared_arguments", "add_testing_arguments", "calibration_samples", "check_dtype",
           "check_training_arguments", "devices", "discard_result", "find_samples", "join", "make_predictor",
           "open_log", "read_result", "require_testing_arguments", "run_label",
           "test_folder", "train", "validation_arguments", "versions", "what_matters", "write_result"]
