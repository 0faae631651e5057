"""3 A session and whose it is."""
