"""The sidecar: our door in front of any application, in any language, as a process of its own."""
