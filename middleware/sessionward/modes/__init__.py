"""4 Modes: who owns the sessions. Each mode has one file."""
