"""2 What can sign someone in."""
