"""What the drivers of both tasks share: devices, logs, samples, the start of a training, the folder of a test."""
from ademxapp.driver.environment import Stopwatch, devices, join, open_log, versions, warn_of_train_split
from ademxapp.driver.identity import Identity, identity_of, require_one_test
from ademxapp.driver.resolving import (
    VALIDATION,
    calibration_images,
    checked_dtype,
    checked_testing,
    checked_training,
    find_samples,
    named_run,
    tested_weights,
    validation_data,
)
from ademxapp.driver.results import claim_folder, holds_same, read_record, read_result, test_folder, write_result
from ademxapp.driver.training import CLASSIFICATION, SEGMENTATION, train

__all__ = ["CLASSIFICATION", "Identity", "SEGMENTATION", "Stopwatch", "VALIDATION", "calibration_images",
           "checked_dtype", "checked_testing", "checked_training", "claim_folder", "devices", "find_samples",
           "holds_same", "identity_of", "join", "named_run", "open_log", "read_record", "read_result",
           "require_one_test", "test_folder", "tested_weights", "train", "validation_data", "versions",
           "warn_of_train_split", "write_result"]
