"""SmolLM2-135M as a chat server: llama.cpp as the package `xllamacpp` has it, compiled already.

    build/servers/smollm2/bin/python tests/servers/smollm2.py WEIGHTS.gguf --host HOST --port PORT

Nothing of Saccade is imported: it runs in an environment of its own.
"""

import argparse
import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import xllamacpp

CONTEXT = 4096


class Handler(BaseHTTPRequestHandler):
    """One request after the other, as they are."""

    engine: xllamacpp.Server

    def do_GET(self) -> None:
        self._send(200, {"object": "list", "data": [{"id": "smollm2", "object": "model"}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        reply = self.engine.handle_chat_completions(asked)
        self._send(400 if "error" in reply else 200, reply)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def _send(self, status: int, reply: object) -> None:
        content = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    params = xllamacpp.CommonParams()
    params.model.path = str(options.weights)
    params.n_ctx = CONTEXT
    params.n_parallel = 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1  # or it spins on a busy core
    Handler.engine = xllamacpp.Server(params)
    HTTPServer((options.host, options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
