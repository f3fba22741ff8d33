"""The Cache and Events ports on a Redis that may be away."""

from storage.redis.cache import RedisCache
from storage.redis.client import Redis
from storage.redis.events import RedisEvents

__all__ = ['Redis', 'RedisCache', 'RedisEvents']
