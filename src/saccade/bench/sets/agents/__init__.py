"""Questions for agents with tools."""
