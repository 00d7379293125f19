"""A chat server in a process of its own, which a test can kill.

    python tests/bench/server_worker.py NAME

It prints its URL, answers every question with its name as the thought, and ends with its input.
"""

import sys

from saccade.testing import ScriptedServer

if __name__ == "__main__":
    with ScriptedServer(lambda _: f"<think>{sys.argv[1]}</think><answer>A</answer>") as server:
        print(server.url, flush=True)
        sys.stdin.read()
