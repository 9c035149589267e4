"""OpenHuman's hosted API as one stable surface: a JSON-RPC daemon and a command line.

Where to look:

    errors      every failure a caller can see
    files       files and directories that nobody else may read or change
    settings    flags, environment and config.toml as one frozen object; sources and values: how they are read
    protocol    JSON-RPC 2.0 as functions on bytes
    backend     how the hosted API is reached
    registry    what a method is, and the documents made of the set of methods
    domains     the methods themselves: auth, billing, team, account
    runtime     the one way to make a call, and the session with a peer
    sandbox     a stand-in for the hosted API
    client      spawn the daemon and call it from Python
    app         puts the rooms together
    cli         the same calls as words and options
"""

__version__ = "0.1.0"
