"""Answers a question with a checkpoint as others load it: transformers, torchvision, none of ours.

    python stock_processor.py FOLDER IMAGE < PROMPT     # prints ids of the prompt and of the answer

The CPU build of torch lacks two operators that torchvision registers functions for.
"""

import json
import sys

import torch

library = torch.library.Library("torchvision", "FRAGMENT")
for name in ("nms", "qnms"):
    library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from PIL import Image  # noqa: E402
from transformers import AutoModelForImageTextToText, AutoProcessor  # noqa: E402

folder, image = sys.argv[1:]
processor = AutoProcessor.from_pretrained(folder)
model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
inputs = processor(text=[sys.stdin.read()], images=[Image.open(image)], return_tensors="pt")
prompt = inputs["input_ids"][0].tolist()
ids = model.generate(**inputs, max_new_tokens=40, do_sample=False, repetition_penalty=1.0)
print(json.dumps([type(processor).__name__, prompt, ids[0, len(prompt) :].tolist()]))
