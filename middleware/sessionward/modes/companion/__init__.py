"""The application keeps its login; a companion session of ours decides whether it may still be used."""
