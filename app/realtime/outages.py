"""What redis-py raises when Redis cannot be reached, or cannot do what is asked of it now."""

from typing import Final

from redis.exceptions import RedisClusterException, RedisError

REDIS_FAILURES: Final = (RedisError, RedisClusterException, OSError)  # of which a TimeoutError is one
