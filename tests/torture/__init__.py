"""Many callers at once, and everything that may fail under them: what the promises are worth.

Each harness also runs naive variants of the same operation, and must catch them. ``python -m tests.torture`` runs the
full size and prints a table.
"""
