"""DjangoBackend with real Django: each configuration in a process of its own, since Django is configured once."""
