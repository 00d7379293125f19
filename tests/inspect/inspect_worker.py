"""Runs in a process of its own: Inspect AI takes seconds to import, and patches what it finds.

python inspect_worker.py FOLDER URL
"""

import asyncio
import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from inspect_ai import eval
from inspect_ai.log import EvalLog, read_eval_log
from inspect_ai.model import (
    ChatMessage,
    ChatMessageTool,
    ChatMessageUser,
    ContentImage,
    ContentText,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    get_model,
    modelapi,
)
from inspect_ai.scorer import Score
from inspect_ai.solver import generate
from inspect_ai.tool import ToolChoice, ToolInfo

from saccade.errors import ConfigError

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQ"
    "DJ/pLvAAAAAElFTkSuQmCC"
)


def images_of(messages: list[ChatMessage]) -> list[str]:
    """The digests of the images of messages."""
    parts = (p for m in messages for p in m.content if not isinstance(m.content, str))
    uris = [part.image for part in parts if isinstance(part, ContentImage)]
    return [hashlib.sha256(base64.b64decode(u.partition(",")[2])).hexdigest() for u in uris]


def scored(one: Score) -> dict[str, Any]:
    return {"value": str(one.value), "answer": one.answer, "why": one.explanation,
            "stop": (one.metadata or {}).get("stop")}  # fmt: skip


def said(log: EvalLog) -> dict[str, Any]:
    """What a log holds, read back from its file."""
    log = read_eval_log(log.location, resolve_attachments=True)
    assert log.samples is not None
    return {
        "status": log.status,
        "headline": {
            name: metric.value
            for s in (log.results.scores if log.results else [])
            for name, metric in s.metrics.items()
        },
        "samples": {
            f"{s.id}:{s.epoch}": {
                "input": images_of(s.input) if isinstance(s.input, list) else [],
                "roles": [m.role for m in s.messages],
                "images": images_of(s.messages),
                "calls": [
                    [c.function, c.arguments]
                    for m in s.messages
                    for c in getattr(m, "tool_calls", None) or []
                ],
                "reasoning": [
                    part.reasoning
                    for m in s.messages
                    if m.role == "assistant" and not isinstance(m.content, str)
                    for part in m.content
                    if part.type == "reasoning"
                ],
                "score": {name: scored(one) for name, one in (s.scores or {}).items()},
                "error": s.error.message if s.error else None,
                "limit": s.limit.type if s.limit else None,
            }
            for s in log.samples
        },
    }


@modelapi(name="another")
class Another(ModelAPI):
    """A provider that knows nothing of our metadata; Inspect's own mock fetches a tokenizer."""

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        if any(message.role == "tool" for message in input):
            return ModelOutput.from_content("another", "It is blue.")
        box = {"bbox_2d": [10, 20, 150, 120]}
        return ModelOutput.for_tool_call("another", tools[0].name, box, content="Let me look.")


def play(folder: Path, url: str, name: str, solver: Any = None, **how: Any) -> EvalLog:
    """A benchmark against the model `name` of the server."""
    args = {"bench": "vstar", "data": str(folder / "vstar"), **how.pop("args", {})}
    model = get_model(name if "/" in name else f"saccade/{name}", base_url=url)
    return eval(
        "saccade/bench", task_args=args, model=model, log_dir=str(folder / "logs"),
        display="none", acp_server=False, ctl_server=False,
        **({"solver": solver} if solver else {}), **how,
    )[0]  # fmt: skip


async def by_hand(url: str) -> dict[str, Any]:
    """What Inspect's own solvers do with the provider: the turns go back as they came."""
    tool = ToolInfo(name="look", description="Looks.")
    async with get_model("saccade/hand", base_url=url) as model:
        asked: list[ChatMessage] = [ChatMessageUser(content="Look.")]
        config = GenerateConfig(max_tokens=7, temperature=0.5, seed=3, stop_seqs=["END"])
        first = await model.generate(asked, tools=[tool], config=config)
        call = (first.message.tool_calls or [])[0]
        asked += [first.message, ChatMessageTool(
            content=[ContentText(text="Here."), ContentImage(image=PIXEL)],
            tool_call_id=call.id, function="look",
        )]  # fmt: skip
        second = await model.generate(asked, tools=[tool], config=config)
        changed = first.message.model_copy(update={"content": "Other words."})
        await model.generate([asked[0], changed, asked[2]], tools=[tool], config=config)
        refused = []
        for setting in ({"top_k": 5}, {"frequency_penalty": 0.5}):
            try:
                await model.generate(asked, config=GenerateConfig(**setting))
            except ConfigError as error:
                refused.append(str(error))
    return {
        "text": first.message.text, "arguments": call.arguments, "stop": first.stop_reason,
        "second": second.completion, "refused": refused,
        "usage": first.usage.model_dump() if first.usage else None,
    }  # fmt: skip


def main() -> None:
    folder, url = Path(sys.argv[1]), sys.argv[2]
    found = {
        "agent": said(play(folder, url, "agent")),
        "native": said(play(folder, url, "native", args={"dialect": "native"}, limit=1)),
        "another": said(play(folder, url, "another/m", args={"dialect": "native"}, limit=1)),
        "plain": said(play(folder, url, "plain", solver=generate(), limit=1)),
        "limit": said(play(folder, url, "agent", message_limit=3, limit=1)),
        "hand": asyncio.run(by_hand(url)),
    }
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
