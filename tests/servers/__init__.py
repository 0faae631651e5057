"""What a site has between the application and the network: servers that patch or fork, and a pooler before the database."""
