"""``sessionward demo``: a story in the terminal, and a page to try in two browsers."""
