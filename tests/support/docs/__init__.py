"""Text of the documentation that is generated from declarations."""
