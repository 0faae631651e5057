"""Open streams, which end with their session: WebSockets, and responses that are under way for long."""
