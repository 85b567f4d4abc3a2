"""Running the processes of a job together."""
