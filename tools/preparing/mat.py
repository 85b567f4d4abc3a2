"""Label maps in MATLAB's files."""
import numpy as np


def read_matrix(path, *fields):
    """The matrix under `fields`, names one inside the other, of a .mat file (up to version 7): (H, W) integers.

    ValueError if there is none; OSError if there is no file.
    """
    from scipy.io import loadmat  # not needed for most datasets

    with open(path, "rb") as source:
        try:
            value = loadmat(source, variable_names=fields[:1])
            for field in fields:
                value = value[field]
                while value.dtype == object:
                    value = value.flat[0]
        except Exception as error:  # of many kinds
            raise ValueError(f"{path} has no {'.'.join(fields)}: {error}") from None
    if value.ndim != 2 or value.dtype.kind not in "iuf":
        raise ValueError(f"{path}: {'.'.join(fields)} is no label map: wanted a matrix of numbers, got {value.ndim} "
                         f"dimensions of {value.dtype}")
    return value.astype(np.int64)
