"""An application with user models of its own."""
