"""The stand-in for the hosted API, from outside."""
