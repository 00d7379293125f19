"""What the errors of servers mean: the end of an episode, another attempt, or a line to change."""

import json
import time
from email.utils import formatdate
from pathlib import Path

import pytest
from responses import URL, completion, response

from saccade.client.failures import Retry
from saccade.client.reply import read
from saccade.client.wordings.pause import pause
from saccade.errors import ContextOverflow, ServiceError

WORDINGS = json.loads(Path(__file__).with_name("wordings.json").read_text())
"""Messages of servers: of a full context, each with its source, and of other limits."""
FULL = {row["server"]: row["message"] for row in WORDINGS["full"]}

# A full context, in the words of every server that is known.


def refused(status: int, body: object) -> str:
    """The message of the error that is neither the end of an episode nor worth another attempt."""
    with pytest.raises(ServiceError) as caught:
        read(URL, response(body, status))
    return str(caught.value)


def error(message: str, **more: object) -> dict[str, object]:
    return {"error": {"message": message, "type": "invalid_request_error", **more}}


@pytest.mark.parametrize("message", FULL.values(), ids=FULL)
def test_a_full_context_is_told_in_many_words(message: str) -> None:
    for status in (400, 413, 422, 500):
        with pytest.raises(ContextOverflow):
            read(URL, response(error(message), status))
    with pytest.raises(ContextOverflow):
        read(URL, response(error(message)))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, {"error": {"code": 500, "message": "the request exceeds the available context size",
                         "type": "exceed_context_size_error"}}),
        (500, {"error": {"code": 500, "message": "Context size has been exceeded.",
                         "type": "server_error"}}),
        (200, {"error": {"code": 400, "message": "the request exceeds the available context size",
                         "type": "exceed_context_size_error"}}),
        (400, {"error": {"message": "Requested tokens (2285) exceed context window of 2048",
                         "code": 400}}),
        (400, {"error": {"type": "invalid_request_error",
                         "message": "prompt is too long: 208310 tokens > 200000 maximum"}}),
        (400, [{"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": FULL["gemini"]}}]),
        (400, {"object": "error", "message": FULL["deepseek"], "type": "BadRequestError",
               "param": None, "code": 400}),
        (400, {"error": FULL["lm studio"]}),
        (422, {"error": FULL["tgi"], "error_type": "validation"}),
        (400, {"error": {"message": "Too long", "code": "context_length_exceeded"}}),
        (400, {"error": {"message": "", "type": "exceed_context_size_error"}}),
        (400, {"code": "InvalidParameter", "message": FULL["dashscope"], "request_id": "x"}),
        (400, {"detail": FULL["sglang"]}),
        (200, {"choices": [{"error": {"code": 400, "message": FULL["openrouter"]},
                            "finish_reason": "error", "message": {"content": ""}}]}),
        (400, {"error": {"message": "Provider returned error", "code": 400, "metadata": {
            "raw": json.dumps({"error": {"message": FULL["openai"]}}), "provider_name": "x"}}}),
        (400, FULL["llama.cpp"].encode()),
        (200, {"choices": None, "base_resp": {"status_code": 2013, "status_msg": FULL["minimax"]}}),
    ],
)  # fmt: skip
def test_a_full_context_is_told_in_many_forms(status: int, body: object) -> None:
    with pytest.raises(ContextOverflow):
        read(URL, response(body, status))


@pytest.mark.parametrize("message", WORDINGS["other"])
def test_other_limits_are_no_full_context(message: str) -> None:
    assert message[:40] in refused(400, error(message))


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 2048 tokens. However, you requested 3000 tokens "
        "(10 in the messages, 2990 in the completion). Please reduce the length of the messages.",
        "'max_tokens' or 'max_completion_tokens' is too large: 5000. This model's maximum context "
        "length is 4096 tokens and your request has 10 input tokens (5000 > 4096 - 10).",
        "You passed 5 input tokens and requested 5000 output tokens. However, the model's context "
        "length is only 4096 tokens, resulting in a maximum input length of -904 tokens.",
    ],
)
def test_a_turn_that_no_context_could_hold_is_our_mistake(message: str) -> None:
    """Else every episode would end at its first turn, as if its prompt were too long."""
    assert "environment.limits.max_turn_tokens" in refused(400, error(message))


def test_what_a_server_repeats_of_the_request_is_not_read_as_its_words() -> None:
    """Nor what stands in other fields: the question may speak of a full context."""
    detail = [{"type": "value_error", "loc": ["body", "x"], "msg": "bad", "input": FULL["openai"]}]
    assert "bad" in refused(422, {"detail": detail})
    assert "bad" in refused(400, {"error": {"message": "bad", "request": FULL["openai"]}})
    asked = '[\n {"role": "user", "content": "' + FULL["openai"] + ' 3 per minute"}]'
    parts = 'Failed to parse messages: Unsupported content part type: "image_url"; messages = '
    assert "cannot see" in refused(500, error(parts + asked))
    assert "valid" in refused(400, error(f"1 validation error, input_value={asked}"))


def test_a_body_of_too_many_bytes_is_no_full_context() -> None:
    page = b"<html><head><title>413 Request Entity Too Large</title></head></html>"
    for body in (page, b"", error("Request payload size exceeds the limit: 20971520 bytes.")):
        assert "too many bytes" in refused(413, body)


# Another attempt.


@pytest.mark.parametrize(
    "status",
    [408, 409, 425, 429, 500, 501, 502, 503, 504, 507, 520, 521, 522, 523, 524, 525, 526, 529, 598],
)
def test_what_may_pass_is_tried_again(status: int) -> None:
    for body in (b"", b"<html>busy</html>", {"error": {"message": "busy"}}, {"detail": "busy"}, []):
        with pytest.raises(Retry):
            read(URL, response(body, status))


@pytest.mark.parametrize("status", [301, 307, 400, 401, 402, 403, 404, 405, 406, 415, 422, 451])
def test_what_will_not_pass_is_not_tried_again(status: int) -> None:
    assert f"status {status}" in refused(status, {"error": {"message": "no"}})


TOKENS_PER_MINUTE = (
    "Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, "
    "Requested 45000. The input or output tokens must be reduced in order to run successfully."
)


@pytest.mark.parametrize("status", [200, 400, 413, 429])
def test_a_limit_of_tokens_per_minute_is_waited_for(status: int) -> None:
    with pytest.raises(Retry):
        read(URL, response(error(TOKENS_PER_MINUTE, code="rate_limit_exceeded"), status))


@pytest.mark.parametrize(
    "body",
    [
        error("You exceeded your current quota", code="insufficient_quota"),
        error("Your credit balance is too low to access the API."),
        error("Access denied", code="Arrearage"),
        error("您的账户已欠费", code="1113"),
    ],
)
def test_an_account_without_money_is_not_asked_again(body: dict[str, object]) -> None:
    assert "credit" in refused(429, body)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, error("Your chosen model requires moderation and your input was flagged")),
        (400, error("Input data may contain inappropriate content.")),
        (400, error("The response was filtered", code="content_filter")),
    ],
)
def test_a_question_that_is_refused_is_no_matter_of_the_key(status: int, body: object) -> None:
    said = refused(status, body)
    assert "what is in the question" in said
    assert "api_key_env" not in said


def test_a_redirect_says_where_to() -> None:
    moved = response(b"", 308, location="https://elsewhere/v1?key=secret")
    with pytest.raises(ServiceError, match="sends on to https://elsewhere/v1,"):
        read(URL, moved)


@pytest.mark.parametrize(
    ("body", "again"),
    [
        ({"error": {"code": 502, "message": "Provider returned error"}}, True),
        ({"error": {"code": "429", "message": "slow down"}}, True),
        ({"error": {"status": "UNAVAILABLE", "message": "later"}}, True),
        ({"error": "the model runner has stopped"}, True),
        ({"error": ["the model runner has stopped"]}, True),
        ({"error": {"type": "overloaded_error", "message": "Overloaded"}}, True),
        (completion({"content": "half"}) | {"error": {"message": "broke off"}}, True),
        ({"error": {"code": 400, "message": "no such thing"}}, False),
        ({"error": {"type": "invalid_request_error", "message": "no such thing"}}, False),
        ([{"error": {"code": 404, "message": "no such model"}}], False),
        ({"object": "error", "message": "no such thing", "code": 400}, False),
        ({"code": 400, "msg": "no such thing", "success": False}, False),
        ({"statusCode": 400, "message": "no such thing"}, False),
        ({"choices": None, "base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, True),
    ],
)
def test_an_error_in_a_200_has_the_status_that_it_carries(body: object, again: bool) -> None:
    with pytest.raises(Retry if again else ServiceError):
        read(URL, response(body))


@pytest.mark.parametrize("nothing", [None, {}, [], "", False])
def test_an_error_field_that_says_nothing_is_no_error(nothing: object) -> None:
    body = completion({"content": "B"}) | {"error": nothing}
    assert read(URL, response(body)).text == "B"


@pytest.mark.parametrize("finish", ["abort", "error", "network_error"])
def test_a_reply_that_was_broken_off_is_asked_again(finish: str) -> None:
    with pytest.raises(Retry, match="broke off"):
        read(URL, response(completion({"content": "hal"}, finish_reason=finish)))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "5s"}, 5.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "9" * 400}, None),
        ({}, None),
    ],
)
def test_a_server_says_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert pause(headers) == seconds


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("Rate limit reached: Limit 30000, Used 29000. Please try again in 7s.", 7.0),
        ("Please try again in 450ms. Visit the site", 0.45),
        ("Please try again in 1m12.5s.", 72.5),
        ("Quota exceeded. Please retry in 22.4s.", 22.4),
        ("Rate limit is exceeded. Try again in 21 seconds.", 21.0),
        ("Please retry after 2 minutes", 120.0),
        ("Please try again later", None),
        ("Please try again in 3 months", None),
    ],
)
def test_a_server_says_in_words_how_long_to_wait(said: str, seconds: float | None) -> None:
    with pytest.raises(Retry) as caught:
        read(URL, response(error(said), 429))
    assert caught.value.after == (None if seconds is None else pytest.approx(seconds))
    assert pause({"retry-after": "1"}, said) == 1.0


def test_a_server_says_until_when_to_wait() -> None:
    waited = pause({"retry-after": formatdate(time.time() + 3600, usegmt=True)})
    assert waited is not None
    assert 3000 < waited <= 3600


# Refusals that a line of the run file mends.


@pytest.mark.parametrize(
    ("status", "body", "line"),
    [
        (400, error("Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                    "'max_completion_tokens' instead.", param="max_tokens"),
         'policy.rename.max_tokens="max_completion_tokens"'),
        (400, error("Unsupported value: 'temperature' does not support 0 with this model. Only the "
                    "default (1) value is supported.", param="temperature"),
         'policy.omit=["temperature"]'),
        (400, error("Unsupported parameter: 'stop' is not supported with this model."),
         'policy.omit=["stop"]'),
        (400, error("Unrecognized request arguments supplied: seed, top_k"),
         'policy.omit=["seed", "top_k"]'),
        (400, error("Unknown parameter: 'seed'.", param="seed", code="unknown_parameter"),
         'policy.omit=["seed"]'),
        (400, [{"error": {"code": 400, "status": "INVALID_ARGUMENT", "message":
                'Invalid JSON payload received. Unknown name "seed": Cannot find field.\n'
                'Invalid JSON payload received. Unknown name "top_k": Cannot find field.'}}],
         'policy.omit=["seed", "top_k"]'),
        (422, {"object": "error", "message": {"detail": [
            {"type": "extra_forbidden", "loc": ["body", "seed"], "input": 1,
             "msg": "Extra inputs are not permitted"}]}}, 'policy.omit=["seed"]'),
        (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"],
                           "msg": "Extra inputs are not permitted"}]}, 'policy.omit=["seed"]'),
        (400, error("Extra inputs are not permitted, field: 'seed', value: 1"),
         'policy.omit=["seed"]'),
        (400, error("seed: Extra inputs are not permitted"), 'policy.omit=["seed"]'),
        (400, error("property 'seed' is unsupported"), 'policy.omit=["seed"]'),
        (400, error("Argument not supported on this model: stop"), 'policy.omit=["stop"]'),
        (400, error("`temperature` is deprecated for this model"), 'policy.omit=["temperature"]'),
        (400, error("json: unknown field \"seed\""), 'policy.omit=["seed"]'),
        (422, error("unknown field `seed`, expected one of `model`, `messages`"),
         'policy.omit=["seed"]'),
        (500, error("The parameter 'seed' is not supported"), 'policy.omit=["seed"]'),
        (400, error("parameter.enable_thinking must be set to false for non-streaming calls"),
         "policy.stream=true"),
        (400, error("This model only support stream mode, please enable the stream parameter"),
         "policy.stream=true"),
        (400, error("enable thinking can not be support when `stream=False`."),
         "policy.stream=true"),
        (400, error("Stream must be set to true"), "policy.stream=true"),
        (500, error("image input is not supported - hint: if this is unexpected, you may need to "
                    "provide the mmproj"), "--mmproj"),
        (500, error('Failed to parse messages: Unsupported content part type: "image_url"'),
         "cannot see"),
        (404, error("No endpoints found that support image input"), "cannot see"),
        (400, error("Failed to load image or audio file"), 'policy.image_format="png"'),
        (400, {"error": "'url' field must be a base64 encoded image."}, "image_format"),
        (400, error("At most 1 image(s) may be provided in one prompt."), "max_images"),
        (400, error('"auto" tool choice requires --enable-auto-tool-choice and '
                    "--tool-call-parser to be set"), "environment.dialect.kind"),
        (400, error("registry.ollama.ai/library/x does not support tools"), "dialect"),
        (400, error("'llama3' does not support tools"), "dialect"),
        (400, error("Unrecognized request arguments supplied: add_generation_prompt, "
                    "continue_final_message"), "policy.continues_prefix=false"),
        (400, error("Invalid content type. image_url is only supported by certain models.",
                    param="messages.[1].content.[1].type"), "cannot see"),
        (400, error("max_tokens is too large: 100000. This model supports at most 16384 completion "
                    "tokens"), "environment.limits.max_turn_tokens"),
        (404, b'{"error":{"code":"404","message": "Resource not found"}}',
         'policy.server="azure"'),
        (404, error("The model does not exist"), "check base_url"),
        (401, error("Incorrect API key provided"), "api_key_env"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_line_that_mends_it(status: int, body: object, line: str) -> None:
    assert line in refused(status, body)


def test_advice_is_for_the_section_of_the_server() -> None:
    body = error("Unknown parameter: 'seed'.")
    with pytest.raises(ServiceError, match=r'reward\.judge\.omit=\["seed"\]'):
        read(URL, response(body, 400), section="reward.judge")
