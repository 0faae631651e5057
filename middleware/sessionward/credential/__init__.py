"""2 Credentials: what can sign a user in."""
