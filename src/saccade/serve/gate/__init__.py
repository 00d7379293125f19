"""The gate that all our servers share: who may ask, what a request may cost, how it is answered.

    class Echo(Record):
        text: str

    async def echo(call: Call) -> Response:
        return JSONResponse({"text": (await call.read(Echo)).text})

    gate = Gate(options, [Endpoint("POST", "/v1/echo", echo, Body.json(64 << 10))])
    run(gate)

What is guaranteed of every route: a request that did not come to this server by a name of its own,
that a page of another origin sent, or that shows no token where one is wanted, reaches no handler.
A body is of a declared length and kind, is read no further than its route and the common bound
allow, and JSON is counted before it is parsed. Connections are limited in number, each in all and
for each address, and in the time that a part of a request or answer may take. What is wrong with a
request is a 4xx with a reason that repeats nothing of it; what is wrong with us is a 5xx without a
traceback, which is logged once.

Not guaranteed: confidentiality (put TLS in front), that addresses are not forged within a network,
or that a flood from many addresses leaves room for others. A client that is behind the same address
as another one and shows the same token, or none, is the same client.
"""

from saccade.serve.gate.call import Body, Call, Shape
from saccade.serve.gate.clients import Client
from saccade.serve.gate.gate import Endpoint, Gate
from saccade.serve.gate.options import GateOptions
from saccade.serve.gate.quota import Quota
from saccade.serve.gate.refusal import Refusal
from saccade.serve.gate.running import run

__all__ = [
    "Body",
    "Call",
    "Client",
    "Endpoint",
    "Gate",
    "GateOptions",
    "Quota",
    "Refusal",
    "Shape",
    "run",
]
