"""The process behind the `math` judge: one JSON line in, `true`, `false` or `null` out.

It is started with a clean interpreter, so it holds nothing of its parent, and it limits its own
memory and files before it reads anything. It may be killed at any moment.
"""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    """Answer lines until the pipe is closed."""
    # Whatever a library writes to standard output must not look like a reply.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    sys.stdout = sys.stderr
    _limit(int(sys.argv[1]) * 2**20)
    from math_verify import parse, verify

    # The first comparison builds the grammar, which must not count as the time of an answer.
    verify(parse("$1$", parsing_timeout=None), parse("$1$", parsing_timeout=None))
    replies.write("ready\n")
    for line in sys.stdin:
        gold, answer = json.loads(line)
        # The parent keeps the time: the library's own alarm would only hide a stuck comparison.
        try:
            left = parse(_delimited(gold), parsing_timeout=None)
            right = parse(_delimited(answer), parsing_timeout=None)
            equal = bool(left and right) and verify(left, right, timeout_seconds=None)
        except (ArithmeticError, RecursionError, MemoryError, ValueError, TypeError):
            replies.write("null\n")
            continue
        replies.write("true\n" if equal else "false\n")


def _delimited(text: str) -> str:
    """The library looks for LaTeX between dollars; an answer is all of it."""
    text = text.strip().replace("\0", "")
    marked = "$" in text or "\\boxed" in text or "\\(" in text or "\\[" in text
    return text if marked else f"${text}$"


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
