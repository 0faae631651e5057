"""3 Sessions and their users."""
