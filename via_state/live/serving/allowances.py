"""What each of those who ask may do: shared by all threads that answer them."""

from __future__ import annotations

import threading
from collections import OrderedDict

from via_state.live.protocol.limits import TokenBucket


class Allowances:
    """A `TokenBucket` for each who asks, of whom the last ``most`` are known. From any thread."""

    def __init__(self, burst: float, rate: float, most: int = 10_000) -> None:
        self._burst, self._rate, self._most = burst, rate, most
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()
        self._lock = threading.Lock()

    def allow(self, who: str, now: float) -> bool:
        """Whether they may now."""
        with self._lock:
            bucket = self._buckets.pop(who, None) or TokenBucket(self._burst, self._rate, now)
            self._buckets[who] = bucket
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
            return bucket.take(now)
