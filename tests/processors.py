"""The public processors of transformers without their video part, which needs torchvision."""

from pathlib import Path

from transformers import AutoImageProcessor, AutoTokenizer
from transformers.processing_utils import ProcessorMixin


def image_only(base: type[ProcessorMixin], path: str | Path) -> ProcessorMixin:
    """An instance of a processor that has no video part; no class is changed."""

    class ImageOnly(base):
        def __init__(self, image_processor: object, tokenizer: object) -> None:
            for kind in ("image", "video", "vision_start", "vision_end"):
                name = f"<|{kind}_pad|>" if kind in ("image", "video") else f"<|{kind}|>"
                setattr(self, f"{kind}_token", name)
                setattr(self, f"{kind}_token_id", tokenizer.convert_tokens_to_ids(name))
            ProcessorMixin.__init__(self, image_processor, tokenizer)

    ImageOnly.__name__ = base.__name__
    return ImageOnly(AutoImageProcessor.from_pretrained(path), AutoTokenizer.from_pretrained(path))
