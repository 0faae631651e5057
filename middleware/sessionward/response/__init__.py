"""5 What the client is told, and what the application may not tell it."""
