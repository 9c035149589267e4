"""JSON-RPC 2.0 as functions on bytes: no I/O, and no exception for what a peer sent."""
