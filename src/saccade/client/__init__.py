"""The client of chat servers: requests with retries and a budget, and their replies."""
