"""What docs/judges.md says of judges is what was measured."""

import judging


def test_the_table_of_judges_is_made_of_the_figures() -> None:
    page = (judging.ROOT / "docs" / "judges.md").read_text()
    shown = page.split(judging.BEGIN)[1].split(judging.END)[0].strip()
    assert shown == judging.table(), "python tests/judging.py --write docs/judges.md"
    assert sorted(file.stem for file in judging.RESULTS.glob("*.json")) == ["gullible", "smollm2"]
