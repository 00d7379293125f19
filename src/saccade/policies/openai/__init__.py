"""Any OpenAI-compatible chat server as a policy: hosted models, vLLM, SGLang, llama.cpp, ...

What is sent is what the trajectory holds (`history`), images with exactly the pixels, or nearly the
pixels, that are shown (`pictures`, `saccade.images.encode`), so that the size in which boxes are
meant is known. Text of the assistant goes back byte for byte.
"""

from __future__ import annotations

import logging
import time

from pydantic import JsonValue

from saccade.client.chat import ChatClient
from saccade.client.reply import Reply
from saccade.client.servers import GATEWAYS, rules_of
from saccade.dialects.whole import CALLS
from saccade.errors import ConfigError, ServiceError
from saccade.policies.openai.history import History
from saccade.policies.openai.options import ImageLinks, OpenAIOptions
from saccade.policies.openai.turn import completion_of
from saccade.types import Completion, ModelInfo, Sampling, Trajectory

__all__ = ["ImageLinks", "OpenAIOptions", "OpenAIPolicy"]

_log = logging.getLogger(__name__)


class OpenAIPolicy:
    """Writes turns with a chat server."""

    Options = OpenAIOptions

    def __init__(self, options: OpenAIOptions) -> None:
        self._options = options
        self._client = ChatClient(options)
        self._history = History(options)
        self._said: set[str] = set()

    @property
    def info(self) -> ModelInfo:
        """The name that the server knows the model by; it says nothing else."""
        return ModelInfo(name=self._options.model)

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        """The next turn.

        Raises:
            ConfigError: the dialect needs a prefilled turn that this server would not continue; the
                server is of another kind than `policy.server`, or tells no token ids.
            ContextOverflow: the server says that the prompt is too long.
            ServiceError: the server failed after all retries; the episode is aborted.
        """
        if trajectory.environment.prefill and not self._options.continues_prefix:
            raise ConfigError(
                f"policy: the dialect {trajectory.environment.dialect!r} starts each turn with a "
                "given text, which most chat servers do not continue; set "
                "policy.continues_prefix=true if yours does (vLLM), or use policy.kind=hf"
            )
        started = time.monotonic()
        reply = await self._client.chat(await self._request(trajectory, sampling))
        self._check(reply, trajectory)
        completion = completion_of(reply, trajectory, sampling)
        seconds = time.monotonic() - started
        model = completion.model or self._options.model
        return completion.model_copy(update={"model": model, "seconds": seconds})

    def count_tokens(self, trajectory: Trajectory) -> None:
        return None

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def _request(self, trajectory: Trajectory, sampling: Sampling) -> dict[str, JsonValue]:
        if sampling.force:
            raise ConfigError("sampling.force: a chat server cannot be made to write given text")
        body: dict[str, JsonValue] = {
            "messages": await self._history.messages(trajectory),
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
            "seed": sampling.seed % 2**31,
        }
        if sampling.top_p < 1:
            body["top_p"] = sampling.top_p
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if trajectory.environment.native_tools and trajectory.environment.tools:
            body["tools"] = [tool.function() for tool in trajectory.environment.tools]
        if self._options.token_ids:
            # Source: vLLM, vllm/entrypoints/openai/chat_completion/protocol.py.
            body |= {"return_token_ids": True, "logprobs": True}
        if trajectory.prefix:
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        return body

    def _check(self, reply: Reply, trajectory: Trajectory) -> None:
        """Name what would be taken for the model's mistake and is a wrong option.

        Raises:
            ConfigError: no episode can be right so.
            ServiceError: the provider refused this turn.
        """
        model, said, shown = self._options.model, self._options.server, reply.server
        if said is not None and shown not in (None, said):
            another = (
                f"policy.server={said}: the reply of {model} is one of {shown}; set "
                f"policy.server={shown}, or leave it out"
            )
            if (
                said not in GATEWAYS
                and self._options.rules.names_stop != rules_of(shown, model).names_stop
            ):
                raise ConfigError(another)
            self._warn(another)
        if self._options.token_ids and reply.token_ids is None:
            raise ConfigError(
                f"policy.token_ids: the server of {model} tells no token ids; leave the option "
                "out, or serve the model with vLLM"
            )
        if reply.finish == "content_filter":
            raise ServiceError(f"{model}: the provider's filter refused the turn")
        if shown is None and self._options.rules.names_stop:
            self._warn(
                f"policy.server={said}: the replies have no mark of {said}; if it is another "
                "server, leave policy.server out: ends of turns are then found by open tags"
            )
        if reply.tool_calls and not trajectory.environment.native_tools:
            self._warn(CALLS)

    def _warn(self, text: str) -> None:
        """Say it once."""
        if text not in self._said:
            self._said.add(text)
            _log.warning("%s: %s", self._options.model, text)
