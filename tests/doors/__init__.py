"""Both doors, in process and behind real servers: what a person, a browser and an application see of them."""
