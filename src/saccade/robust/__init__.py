"""The Fisher metric of a classifier in its input: where it is most sensitive, and how much."""
