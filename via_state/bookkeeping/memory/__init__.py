"""For a backplane in memory: as durable as what it is about, and seen by nobody else."""
