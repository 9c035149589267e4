"""What the tests share: the real daemon over pipes, and a server that records what it is asked."""
