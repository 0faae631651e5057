"""Applications with a login of their own, which know nothing of us."""
