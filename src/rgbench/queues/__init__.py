"""Queues of a cluster: work that is cut into parts is handed to Slurm, to Ray, or to any queue by a job script."""
