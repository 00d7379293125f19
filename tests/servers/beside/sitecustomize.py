"""Lets vLLM import torchvision beside a torch without CUDA; found on PYTHONPATH at every start.

The package index has one build of torchvision, whose operators need CUDA: without them the import
of torchvision itself fails (`operator torchvision::nms does not exist`). Nothing here uses the two
that it asks for, so they are declared and never defined.
"""

import sys
from importlib.abc import MetaPathFinder

DECLARED = []
"""Kept: a library that is collected takes its operators with it."""


class DeclareOperators(MetaPathFinder):
    """Declares them when torchvision is imported for the first time."""

    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            library = torch.library.Library("torchvision", "FRAGMENT")
            for operator in ("nms", "qnms"):
                library.define(
                    f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                )
            DECLARED.append(library)


sys.meta_path.insert(0, DeclareOperators())
