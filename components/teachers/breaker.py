"""Spares a server that fails, and says so when it stays out: a circuit breaker with one probe at a time.

After `LIMIT` failures in a row the circuit opens: nobody asks. After a pause one request probes; if it succeeds the
circuit closes, if not the pause doubles. When `PROBES` probes have failed, the pauses being `patience` seconds in all,
the circuit is broken for good.
"""

import asyncio
import random
import time

from components.base.errors import PipelineError

LIMIT, PROBES = 10, 5
LONGEST_WAIT = 600.0  # seconds; whom a server sends away for longer should not sit and wait


class Breaker:
    """Shared by all requests to one server; used in one event loop. `name` is the server in messages."""

    def __init__(self, name: str, patience: float):
        self.name, self.patience = name, patience
        self.failures, self.probes, self.reason = 0, 0, ""
        self._until, self._probing, self._broken = 0.0, False, ""

    async def enter(self) -> bool:
        """Waits until a request may go out; True where it is a probe. Raises PipelineError where it is broken."""
        while not self._broken:
            wait = self._until - time.monotonic()
            if wait <= 0 and self.failures < LIMIT:
                return False
            if wait <= 0 and not self._probing:
                self._probing = True
                return True
            await asyncio.sleep(max(wait * random.uniform(1.0, 1.1), self.patience / 1000))  # not all at once
        raise PipelineError(self._broken)

    def succeeded(self) -> None:
        self.failures, self.probes, self._probing = 0, 0, False

    def failed(self, reason: str, probe: bool) -> None:
        """Counts a failure; what was on its way when the circuit opened is not counted again."""
        opened = self.failures >= LIMIT
        self.failures, self.reason = self.failures + 1, reason
        if probe or (self.failures >= LIMIT and not opened):
            self._probing = False
            self.probes += probe
            if self.probes >= PROBES:
                self.stop(f"{self.name} answers nothing any more: {reason}; run the same command again when it is back")
            self.hold(self.patience * 2**self.probes / (2**PROBES - 1))

    def cancelled(self, probe: bool) -> None:
        """A request that was given up before it was answered; another one may probe."""
        self._probing = self._probing and not probe

    def hold(self, seconds: float) -> None:
        """Nobody asks for so long: the server said when to come back."""
        if seconds > LONGEST_WAIT:
            self.stop(f"{self.name} wants no more questions for {seconds:,.0f} s; run the same command again then")
        self._until = max(self._until, time.monotonic() + seconds)

    def stop(self, why: str) -> None:
        """Breaks the circuit for good."""
        self._broken = self._broken or why

    def backoff(self, attempt: int) -> float:
        """Seconds before another attempt (0, 1, ...): doubling, half to one and a half times, up to half a minute."""
        return min(self.patience / 120 * 2**attempt, 30.0) * random.uniform(0.5, 1.5)
