"""Numbers, letters and expressions: how answers to mathematical questions are scored."""
