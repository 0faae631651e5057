"""Answers whether a request may pass, for a proxy that is already there."""
