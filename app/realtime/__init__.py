"""Redis and open connections: fan-out, presence, limits, short-lived state."""
