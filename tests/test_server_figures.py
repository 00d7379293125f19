"""What docs/servers.md says of real engines is what `make test-servers` measured."""

from pathlib import Path

import figures

ROOT = Path(__file__).resolve().parent.parent


def test_the_table_of_the_page_is_made_of_the_figures() -> None:
    page = (ROOT / "docs" / "servers.md").read_text()
    shown = page.split(figures.BEGIN)[1].split(figures.END)[0].strip()
    assert shown == figures.table(), "python tests/servers/figures.py --write docs/servers.md"
    for engine in figures.ENGINES:
        assert (figures.RESULTS / f"{engine}.json").is_file()
