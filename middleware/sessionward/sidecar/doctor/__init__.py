"""The command ``sessionward doctor``: tries a configuration against the real application and the real backend."""
