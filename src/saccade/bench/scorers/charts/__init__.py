"""How answers to questions on charts are scored."""
