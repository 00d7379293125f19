"""Pages that are read whole: documents of an index, and what hosts have that a user allows."""
