"""The files of a report, and the figures of the paper: tools, code, training, any runs."""
