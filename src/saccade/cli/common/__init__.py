"""What several commands share: their options, progress, tables, and what they need."""
