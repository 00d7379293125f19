"""The model provider `saccade`: a chat server whose text goes back to it byte for byte.

    inspect eval ... --model saccade/NAME --model-base-url http://127.0.0.1:8000/v1 -M server=vllm

Options (`-M`) are those of `policy.kind=openai`, which does the work: retries, kinds of servers,
the message in which images of a tool result go. Inspect's own provider for such servers takes
thoughts out of the text of a turn and writes them anew into the next request, so that the model
reads what it never wrote.
"""

from __future__ import annotations

import asyncio
import os

from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    StopReason,
    modelapi,
)
from inspect_ai.tool import ToolChoice, ToolInfo
from pydantic import JsonValue

from saccade.config import validate
from saccade.engines.inspect.messages import assistant, conversation
from saccade.errors import ConfigError, ContextOverflow
from saccade.policies.openai import OpenAIOptions, OpenAIPolicy
from saccade.types import Completion, Sampling

BASE_URL = "SACCADE_BASE_URL"
"""The variable that names the server, where `--model-base-url` does not."""

_NOT_SENT = (
    "best_of", "frequency_penalty", "presence_penalty", "logit_bias", "top_k", "num_choices",
    "logprobs", "top_logprobs", "reasoning_effort", "reasoning_tokens", "response_schema",
    "extra_body",
)  # fmt: skip
"""Settings of Inspect that would change a request and that this provider does not know."""


@modelapi(name="saccade")
class SaccadeAPI(ModelAPI):
    """A model on a chat server, for Inspect AI."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008 as Inspect declares it
        **options: JsonValue,
    ) -> None:
        """Make the policy that does the work.

        Args:
            model_name: What the server calls the model.
            base_url: Where the server is.
            api_key: Not taken: a key on a command line is kept in the log.
            config: Inspect's settings.
            options: Fields of `saccade.policies.openai.OpenAIOptions`.

        Raises:
            ConfigError: no server is named, an option is wrong, or a key is given.
        """
        super().__init__(model_name, base_url, None, [], config)
        where = base_url or os.environ.get(BASE_URL)
        if not where:
            raise ConfigError(
                f"saccade/{model_name}: name the server with --model-base-url URL or {BASE_URL}"
            )
        if api_key is not None:
            raise ConfigError(
                f"saccade/{model_name}: name the variable that holds the key, -M api_key_env=NAME"
            )
        table = {**options, "model": model_name, "base_url": where}
        self._options = validate(OpenAIOptions, table, "model args")
        self._where = where
        self._policy: OpenAIPolicy | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        """The next turn of a conversation.

        Raises:
            ConfigError: a setting that this provider does not know.
            FormatError: an image is no data URI.
            ServiceError: the server failed after all retries.
        """
        for name in _NOT_SENT:
            if getattr(config, name, None) is not None:
                raise ConfigError(
                    f"saccade/{self.model_name}: {name} is not sent; name it in the server's own "
                    "words with -M extra_body"
                )
        known = tools if tool_choice != "none" else []
        asked = conversation(input, known, stop=config.stop_seqs or ())
        try:
            completion = await self._acting().act(asked, _sampling(config))
        except ContextOverflow as error:
            return ModelOutput.from_content(
                self.model_name, "", stop_reason="model_length", error=str(error)
            )
        return _output(completion)

    def max_tokens(self) -> int | None:
        """What a turn may have where nothing is said."""
        return Sampling().max_tokens

    def connection_key(self) -> str:
        """Models of one server share its connections."""
        return self._where

    def tool_result_images(self) -> bool:
        """The policy puts them where the server takes them."""
        return True

    def force_reasoning_history(self) -> str | None:
        """Thoughts are part of the text, which stays what it is."""
        return "all"

    async def aclose(self) -> None:
        """Close all connections."""
        if self._policy is not None and self._loop is asyncio.get_running_loop():
            await self._policy.close()
        self._policy = None

    def _acting(self) -> OpenAIPolicy:
        """The policy of this event loop: Inspect keeps a model from one evaluation to the next."""
        loop = asyncio.get_running_loop()
        if self._policy is None or self._loop is not loop:
            self._policy, self._loop = OpenAIPolicy(self._options), loop
        return self._policy


def _sampling(config: GenerateConfig) -> Sampling:
    """What is not said is 1 for the temperature, as of chat servers, and no cut."""
    return Sampling(
        temperature=1.0 if config.temperature is None else config.temperature,
        top_p=1.0 if config.top_p is None else config.top_p,
        max_tokens=config.max_tokens or Sampling().max_tokens,
        stop=tuple(config.stop_seqs or ()),
        seed=config.seed or 0,
    )


def _output(completion: Completion) -> ModelOutput:
    message = assistant(completion)
    reason: StopReason = "tool_calls" if completion.tool_calls else "stop"
    if completion.finish == "length":
        reason = "max_tokens"
    read, written = completion.prompt_tokens or 0, completion.completion_tokens or 0
    usage = ModelUsage(input_tokens=read, output_tokens=written, total_tokens=read + written)
    choice = ChatCompletionChoice(message=message, stop_reason=reason)
    return ModelOutput(model=completion.model, choices=[choice], usage=usage)
