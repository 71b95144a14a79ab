"""One module for each other package. It runs in their environment, and so imports nothing of ours but `jobs`."""
