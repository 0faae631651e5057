"""Who does the application say is signed in? One file for each framework, and a plain function for everything else."""
