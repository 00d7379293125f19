"""How the embedded models are made and measured: tiny ones of a real class, from nothing."""
