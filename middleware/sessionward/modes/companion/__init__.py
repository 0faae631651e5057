"""Mode companion: the application keeps its login, and our companion session decides whether it is still valid."""
