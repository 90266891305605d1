"""What an operator is told when an embedded server cannot be had."""


class ServerNotStarted(Exception):
    """PostgreSQL or Valkey is not running; the message says why and what to do."""
