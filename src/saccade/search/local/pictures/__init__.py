"""How pictures are found: by hashes, and by embeddings."""
