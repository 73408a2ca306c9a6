"""The rules: pure functions from the objects of a setup to its pitfalls, one module for each subject."""
