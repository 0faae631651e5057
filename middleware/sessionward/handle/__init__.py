"""What the application holds of a request: its sessions, and the verbs that change them."""
