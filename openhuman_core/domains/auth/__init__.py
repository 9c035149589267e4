"""Sessions, credentials and the user they belong to."""
