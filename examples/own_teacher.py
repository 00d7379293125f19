"""Teachers of your own behind a chat server: what they do with the real tools, and what is kept.

    python examples/own_teacher.py

Both stand in for models of yours; one is careless. Each request has the episode so far, as any
OpenAI-compatible server gets it: the picture, and what the sandbox printed. A run file names such
servers in `[[teachers]]` with `kind = "openai"` and their `base_url`, and `saccade demos` plays it.
"""

import asyncio
import re
import tempfile
from pathlib import Path

from PIL import Image as PILImage

from saccade.data.demos.recipe import DemosRecipe
from saccade.data.demos.synthesise import synthesise
from saccade.formats.tasks import write_tasks
from saccade.images.image import Image
from saccade.testing import ScriptedRequest, ScriptedServer
from saccade.types import Task

CELL = """<think>I count.</think><code>
```python
import numpy as np
print((np.asarray(image_1) == (255, 0, 0)).all(axis=-1).sum())
```
</code>"""


def teach(request: ScriptedRequest) -> str:
    if request.body["model"] == "careless":
        return "<think>It looks like about a hundred.</think><answer>100</answer>"
    printed = re.findall(r"stdout:\n```(\d+)```", request.text)
    return f"<think>So many.</think><answer>{printed[-1]}</answer>" if printed else CELL


def a_question(side: int) -> Task:
    picture = PILImage.new("RGB", (112, 112), "white")
    picture.paste("red", (10, 10, 10 + side, 10 + side))
    asked = (Image.from_pixels(picture), "How many pixels are red?")
    return Task(id=f"red-{side}", prompt=asked, answer=str(side * side))


with tempfile.TemporaryDirectory() as folder, ScriptedServer(teach) as server:
    write_tasks([a_question(side) for side in range(11, 17)], Path(folder) / "tasks")
    recipe = DemosRecipe.model_validate({
        "out": f"{folder}/demos", "samples": 2, "dialect": {"kind": "deepeyes_v2"},
        "tools": {"python": {}}, "tasks": {"kind": "file", "path": f"{folder}/tasks/tasks.jsonl"},
        "teachers": [{"kind": "openai", "base_url": server.url, "model": model}
                     for model in ("careful", "careless")],
    })  # fmt: skip
    made = asyncio.run(synthesise(recipe))
    print(f"{made.audit.kept} of {made.audit.episodes} kept; dropped: {made.audit.dropped}")
    print(sorted(path.name for path in Path(recipe.out).iterdir()))
