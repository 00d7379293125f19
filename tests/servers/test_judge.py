"""A real model as judge, and the attacks on it: SmolLM2-135M on llama.cpp."""

from pathlib import Path

import engines
import judging

from saccade.client.options import ClientOptions

EITHER_WORD = 'root ::= "CORRECT" | "INCORRECT"'
"""A model of this size rambles: llama.cpp lets it choose between the two words alone."""


async def test_how_far_a_small_judge_is_moved(logs: Path) -> None:
    """Whatever comes of it is kept: that a judge of this size guesses is part of the figures."""
    server = Path(__file__).with_name("smollm2.py")
    command = (engines.smollm2(), server, engines.smollm2_weights())
    with engines.serving(command, logs / "smollm2.log") as url:
        figures = await judging.measured(options(url))
    judging.keep("smollm2", judging.SMOLLM2, "make test-servers", figures)
    for found in figures.values():
        undecided = found["attacked"].count(None)
        assert undecided <= 5, "it is made to say one of the two words"


def options(url: str) -> ClientOptions:
    """Those of the judge: it has one place, and a long queue on a busy machine."""
    return ClientOptions(
        base_url=url, model="smollm2", server="llama_cpp", timeout_s=600.0,
        extra_body={"grammar": EITHER_WORD},
    )  # fmt: skip
