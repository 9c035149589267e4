"""How the hosted API is reached: routes, credentials, one client, and what carries its bytes."""
