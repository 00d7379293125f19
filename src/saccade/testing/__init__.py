"""A scripted chat server: a Python function behind a real socket, in place of a model.

It speaks enough of the OpenAI format to test an agent end to end without a GPU, decodes the images
that it receives, and can fail in the ways in which servers fail. It listens on the loopback
interface only.

    def answer(request):
        return "Let me look closer." if request.turn == 0 else "The answer is B."

    with ScriptedServer(answer) as server:
        policy = OpenAIPolicy(OpenAIOptions(base_url=server.url, model="script"))

`ScriptedServer(answer, like="gemini")` refuses what that server refuses, in its words, and signs
its replies as it does: see `saccade.testing.strict`.

`saccade.testing.lies` has what a hostile server sends, and `saccade.testing.faults` disks that fail
and processes that are killed at a chosen moment.

Where no socket is needed, `saccade.policies.replay:ReplayPolicy` is the scripted policy: it takes
the turns of each task, or a function from a trajectory to the next text.
"""

from saccade.testing.server import Script, ScriptedServer
from saccade.testing.wire import ScriptedReply, ScriptedRequest

__all__ = ["Script", "ScriptedReply", "ScriptedRequest", "ScriptedServer"]
