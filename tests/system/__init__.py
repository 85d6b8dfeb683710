"""The guard as a whole, on this very host: what it kills are hogs of the tests' own, and nothing else."""
