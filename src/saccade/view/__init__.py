"""Looking at runs: a page for people, a report for papers; both from run folders alone."""
