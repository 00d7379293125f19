"""Local models: load, batch, generate, sample, score. torch and transformers start here."""
