"""Ground floor: what every room may use and what imports none of ours."""
