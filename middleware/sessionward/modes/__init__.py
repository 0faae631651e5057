"""4 Who owns the sessions: one file for each mode."""
