"""The process behind the `math` judge: one JSON line in, one out.

It is started with a clean interpreter, so it holds nothing of its parent, and it limits its own
memory and files before it reads anything. It may be killed at any moment.
"""

from __future__ import annotations

import json
import os
import sys

from saccade.rewards.maths import Opinion, compare

_FAILURES = (ArithmeticError, AttributeError, LookupError, MemoryError, NotImplementedError,
             RecursionError, TypeError, ValueError)  # fmt: skip
"""What sympy raises where it does not know how to go on. On another one the process ends."""


def main() -> None:
    """Answer lines until the pipe is closed."""
    # Whatever a library writes to standard output must not look like a reply.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    sys.stdout = sys.stderr
    _limit(int(sys.argv[1]) * 2**20)
    # The first comparison builds the grammar, which must not count as the time of an answer.
    compare("1", "\\frac{2}{2}")
    replies.write("ready\n")
    for line in sys.stdin:
        gold, answer = json.loads(line)
        try:
            opinion = compare(gold, answer)
        except _FAILURES as error:
            opinion = Opinion(None, f"the comparison failed ({type(error).__name__})")
        replies.write(json.dumps(opinion) + "\n")


def _limit(address_space: int) -> None:
    """No more memory than this, no files written, no core dumps; nothing to limit on Windows."""
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
