"""The ILSVRC 2012 development kit: its own numbers of the classes, in which the test server wants entries."""
import os
from typing import Dict, List, Sequence

DEVKIT = "ILSVRC2012_devkit_t12"
META = "data/meta.mat"


def kit_synsets(devkit: str) -> Dict[int, str]:
    """{ILSVRC2012_ID: synset} of a development kit's meta.mat."""
    from scipy.io import loadmat

    path = os.path.join(devkit, META)
    try:
        synsets = loadmat(path, squeeze_me=True)["synsets"]
        return {int(number): str(synset) for number, synset in zip(synsets["ILSVRC2012_ID"], synsets["WNID"])}
    except OSError:
        raise
    except Exception as error:  # scipy raises nearly anything at a broken file
        raise ValueError(f"{path} is not the development kit's: {error!r}; wanted a MATLAB file with the table "
                         "synsets, of ILSVRC2012_ID and WNID") from None


def kit_numbers(devkit: str, synsets: Sequence[str]) -> List[int]:
    """The ILSVRC2012_ID of each of `synsets` (list of int); ValueError if the kit lacks one."""
    numbers = {synset: number for number, synset in kit_synsets(devkit).items()}
    missing = [synset for synset in synsets if synset not in numbers]
    if missing:
        raise ValueError(f"{os.path.join(devkit, META)} has no number of {missing[0]}, and of {len(missing)} of the "
                         f"{len(synsets)} classes in all")
    return [numbers[synset] for synset in synsets]
