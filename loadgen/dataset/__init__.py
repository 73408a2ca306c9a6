"""The run folder: what fills it and what reads it meet here and nowhere else."""
