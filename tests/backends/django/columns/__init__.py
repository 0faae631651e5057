"""Session models with a column ``user`` that is not the key of the user model."""
