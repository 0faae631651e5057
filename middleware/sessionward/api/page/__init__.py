"""The page *Your devices*: what a user's sessions are called, where they are, and how they end."""

from sessionward.settings.page import Page

__all__ = ["Page"]
