"""What a run is judged by and warned of: one module for each family of findings."""
