"""What is a single token for the second base: prompts, tools, questions, documents, thoughts.

Numbers are written digit by digit, since they are read so from handwriting and computed with so;
only the corners of boxes are tokens, each with the mark before it.
"""

from __future__ import annotations

import json

from saccade.dialects import deepeyes_v2
from saccade.dialects.base import COORDS
from saccade.nano.deepeyes_v2.spec import image_search, tools
from saccade.nano.tokenizer import TAGS, between_placeholders
from saccade.tools.zoom import Rotate
from saccade.world.facts import ATTRIBUTES, CONFUSED, CURRENT, OUTDATED
from saccade.world.scene import COLOURS, VIEW

_CODE = deepeyes_v2.SEAMS.code
assert _CODE is not None
CELL = f"{_CODE[0]}\n{deepeyes_v2.OPENING}", f"{deepeyes_v2.CLOSING}\n{_CODE[1]}"
"""What stands before and after the code of a cell."""

WORDS = (
    "system\n", "user\n", "assistant\n",
    "What digit is on the ", "object?", "Where is the ", "Show me the ", "Zoom in on the ",
    "Look at the ", "What digit is this?", "What number is this?",
    "What is the number on the ", "plate?", "plate times the number on the ",
    "plate plus the number on the ", "plate and the number on the ", " and ", "name ",
    "object.", "plate.",
    "of the thing on the ", "plate times its ", "What is the ", "?",
    "The ", "object is at ", "plate is at ", "], ", " pixels wide.",
    "]", " I read ", "I read ", " It says ", "It says ", ". ", ".",
    '{"name": "image_zoom_in_tool", "arguments": {"bbox_2d": ', "}}",
    '{"name": "search", "arguments": {"query": "', '"}}',
    "print(", " * ", " + ", ")", "# I compute it.", "pass",
    "Code execution result:\n", "stdout:\n```", "```\n\nstderr:\n```", "```",
    "A Google search for '", "' found ", " results:\n\n## Web Results\n", ". [", "]()\n\n", "\n\n",
    "Compute ", " times ", " plus ", " with code.", "Search for the ",
    "Its ", " is ", "is ", "of ", "The result is ",
)  # fmt: skip


def phrases() -> list[str]:
    """List the added tokens, each once, in a fixed order."""
    found = [*TAGS, *CELL, *WORDS]
    found += [f"{colour} " for colour in COLOURS]
    found += [f"{attribute} " for attribute in ATTRIBUTES] + list(ATTRIBUTES)
    found += [f"{mark}{n}" for mark in ("[", ", ") for n in range(VIEW + 1)]
    found += between_placeholders(*CURRENT, *OUTDATED, CONFUSED)
    prompts = deepeyes_v2.PROMPTS
    for one in (prompts, prompts.without_tools):
        if one is not None:
            found += between_placeholders(one.system, one.user, one.observation)
    found += between_placeholders(deepeyes_v2.RUN, deepeyes_v2.CALL.format(schemas="{schemas}"))
    for tool in (*tools(), image_search(), Rotate()):
        found += [json.dumps(tool.spec.function()), tool.spec.description]
    found += COORDS.values()
    return list(dict.fromkeys(found))
