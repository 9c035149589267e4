"""Every method as words and options."""
