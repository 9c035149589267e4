"""A stand-in for the hosted API: every route of it, over SQLite, with faults to order."""
