"""What a cell of code does, told from its text; nothing is ever run."""
