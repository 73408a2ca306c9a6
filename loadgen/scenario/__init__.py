"""What a test is made of: settings that are checked once, and request rates as values."""
