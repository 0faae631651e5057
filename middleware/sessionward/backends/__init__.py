"""Where sessions live. Each file here is a leaf: nobody imports it but the user, the command and the tests."""
