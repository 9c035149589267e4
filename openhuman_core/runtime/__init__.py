"""The one way to make a call, and the session with a peer that makes them."""
