"""Questions whose answers have to be looked up."""
