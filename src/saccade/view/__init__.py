"""Views of finished and growing runs: a page for people, a report for papers."""
