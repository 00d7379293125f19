r"""Saccade's benchmarks, loop and models in Inspect AI.

    inspect eval saccade/bench -T bench=vstar -T data=vstar_bench \
      --model saccade/NAME --model-base-url http://127.0.0.1:8000/v1

- `saccade/bench` (`task`): any benchmark as an Inspect task;
- `saccade/episode` (`solver`): the only loop, `saccade.rollout.rollout`, in which Inspect's model
  is the policy;
- `saccade/verdict` (`scorer`): the verdict of the benchmark, and its numbers;
- `saccade/NAME` (`provider`): a model on a chat server, whose text goes back byte for byte.

Inspect finds them through the entry point `inspect_ai` of the package. Tried with Inspect AI
0.3.285; it needs the extra `inspect`.
"""

from pathlib import Path

from saccade.errors import require

require("inspect_ai")


def named(name: str) -> str:
    """The name under which Inspect registers a part, so that it is found as `saccade/NAME`.

    Inspect itself puts the package before the name of what lies in `site-packages`. It does so for
    an editable install only where package and distribution have one name, which ours have not.
    """
    inside = any(part in ("site-packages", "dist-packages") for part in Path(__file__).parts)
    return name if inside else f"saccade/{name}"
