"""The one exception a user is meant to read: what is wrong, where, and how to mend it."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in input or configuration; the command line prints it without a traceback and exits with 2.

    `what` says what is wrong, `where` names the file, field or option, `mend` says what to do about it.
    """

    def __init__(self, what: str, *, where: str = "", mend: str = ""):
        self.what, self.where, self.mend = what, where, mend
        lines = [f"{where}: {what}" if where else what]
        if mend:
            lines.append(f"  mend: {mend}")
        super().__init__("\n".join(lines))


class PipelineError(Exception):
    """A stage stopped on purpose (a gate failed, a loss is not finite, a worker died); the message says why."""


class BudgetSpent(PipelineError):
    """A run has asked for all that it may pay for."""


def nearest(word: str, known: Iterable[str]) -> str:
    """The hint "did you mean 'x'?" for a misspelt word, or an empty string when nothing is near."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else ""
