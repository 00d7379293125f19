"""A rule that looks for text: its policy, the plan of its search, and the evidence."""
