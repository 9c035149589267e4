"""The checks of openhuman-core."""
