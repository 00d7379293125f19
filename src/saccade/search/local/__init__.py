"""An index on this machine: documents, their passages, and pictures."""
