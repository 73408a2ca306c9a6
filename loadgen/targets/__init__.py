"""The systems that a run can send load to: one module for each kind of target."""
