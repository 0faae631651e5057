"""5 Responses: our own, and the changes that we make to the application's."""
