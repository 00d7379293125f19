"""`saccade serve`: what others can use over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer


def sandbox(
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="Options of the server: host, port, sandbox.limits.seconds, ...",
        ),
    ] = None,
) -> None:
    """Serve a sandbox for Python cells over HTTP.

    On another interface than 127.0.0.1 clients must show a token of SACCADE_SANDBOX_TOKEN; where it
    holds several, each is a client of its own.
    """
    from saccade.cli.common.extras import needs
    from saccade.cli.common.interrupt import says
    from saccade.config import validate, with_overrides

    with needs("serve"):
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    with needs("sandbox"):
        import pyseccomp  # noqa: F401
    from saccade.serve.options import ServeOptions
    from saccade.serve.sandbox import serve

    options = validate(ServeOptions, with_overrides({}, settings or []))
    says("interrupted: the server has ended")
    serve(options, on_ready=lambda url: typer.echo(f"a sandbox at {url}; Ctrl-C ends it"))


def search(
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="Options of the server: index, host, port, searches_waiting, ...",
        ),
    ] = None,
) -> None:
    """Serve an index to many workers over HTTP.

    `saccade serve search index=FOLDER` serves the index in a folder.

    On another interface than 127.0.0.1 clients must show a token of SACCADE_SEARCH_TOKEN; where it
    holds several, each is a client of its own. The first line says the digest of the index, which
    a run file names.
    """
    from saccade.cli.common.extras import needs
    from saccade.cli.common.interrupt import says
    from saccade.config import validate, with_overrides

    with needs("serve"):
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    from saccade.serve.search import serve
    from saccade.serve.search_options import SearchServeOptions

    options = validate(SearchServeOptions, with_overrides({}, settings or []))
    says("interrupted: the server has ended")
    serve(
        options,
        on_ready=lambda url, digest: typer.echo(f"a search at {url}; digest {digest}"),
    )
