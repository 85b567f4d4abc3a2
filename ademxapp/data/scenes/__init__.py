"""The generated dataset `demo`: drawn scenes with labels as in PASCAL VOC, and patches to classify.

It exists so that the whole path, from a list to a mean IoU, runs on a laptop within minutes without a
download. Colours are drawn anew for every object: the main one is of its class's hues, but those of its parts, and
of the backgrounds, are of any hue, so that a network has to learn shapes and textures too.

Every picture is a function of (seed, split, index) alone, given the versions of NumPy and OpenCV.

    rng = picture_rng(seed=0, split="val", index=3)
    image, label = draw_scene(rng)
    demo = write_demo("data/demo", palette, progress=lambda done, total: None)
"""

from ademxapp.data.scenes.drawing import CLASSES, SCENE_SIDES, cut_object, draw_scene, picture_rng
from ademxapp.data.scenes.written import Demo, write_demo, write_patches, write_scenes

__all__ = ["CLASSES", "SCENE_SIDES", "Demo", "cut_object", "draw_scene", "picture_rng", "write_demo",
           "write_patches", "write_scenes"]
