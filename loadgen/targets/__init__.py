"""What a run sends its load to: one module for each kind of target."""
