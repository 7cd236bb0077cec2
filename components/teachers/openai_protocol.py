"""What is said to a server of the OpenAI protocol, and how its replies are read."""

from collections.abc import Sequence
from typing import Any

from components.base.text import line
from components.teachers.protocol import Answer, Question
from components.teachers.secrets import Secret
from components.teachers.specs import OpenAI
from components.teachers.untrusted import Unfit, asking, complaining, read
from components.teachers.wire import Declined, Reply, Wire

CHAT = "/chat/completions"


class Refused(Exception):
    """The model will not answer this question, however often it is asked."""


class Dialect:
    """Chat completions as one server understands them: what it declines is said another way from then on."""

    def __init__(self, model: str, settings: OpenAI):
        self.model, self.settings = model, settings
        self._structured, self._limit, self._seeded = True, "max_tokens", True

    def request(self, pictures: Sequence[str], question: Question, complaint: str = "", attempt: int = 0,
                **more: Any) -> dict[str, Any]:
        """The body of a chat completion about pictures (data URLs). The schema goes beside the prompt, or into it where
        a server takes none.
        """
        schema, prompt = question.schema, question.prompt
        body: dict[str, Any] = {"model": self.model, "temperature": self.settings.temperature,
                                self._limit: self.settings.max_tokens}
        if self._seeded:
            body["seed"] = self.settings.seed + attempt
        if schema is not None and self._structured:
            name = "".join(c for c in question.kind if c.isalnum() and c.isascii()) or "answer"
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}
            prompt = "\n\n".join([prompt, *complaining(complaint)])
        else:
            prompt = asking(prompt, schema, complaint)
        content = [*({"type": "image_url", "image_url": {"url": picture}} for picture in pictures),
                   {"type": "text", "text": prompt}]
        return body | {"messages": [{"role": "user", "content": content}]} | more

    async def chat(self, wire: Wire, *said: Any, **more: Any) -> Reply:
        """One exchange (arguments as for `request`). Raises Declined where there is no other way of saying it."""
        while True:
            spoken = self._way()
            body = self.request(*said, **more)
            try:
                return await wire.call("POST", CHAT, lambda: {"json": body})  # noqa: B023
            except Declined as refusal:
                self._adapt(refusal)
                if spoken == self._way():
                    raise
                wire.breaker.succeeded()  # it answered, and said how it wants to be asked

    def _way(self) -> tuple[Any, ...]:
        return self._structured, self._limit, self._seeded

    def _adapt(self, refusal: Declined) -> None:
        if refusal.status in (400, 422, 501):
            if "max_completion_tokens" in refusal.reason:
                self._limit = "max_completion_tokens"
            elif "response_format" in refusal.reason or "json_schema" in refusal.reason:
                self._structured = False
            elif "seed" in refusal.reason:
                self._seeded = False


def answer_of(reply: Any, question: Question, secret: Secret) -> Answer:
    """The usable answer in a chat completion, with the tokens that the server counted. Raises Unfit, or Refused."""
    first = first_choice(reply)
    message = first["message"]
    if message.get("refusal") or first.get("finish_reason") == "content_filter":
        raise Refused(f"refused: {line(secret.hide(str(message.get('refusal') or 'content filter')))}")
    content = message.get("content") or ""
    if isinstance(content, list):  # some servers answer in parts
        content = "".join(str(p.get("text", "")) for p in content if isinstance(p, dict))
    if not isinstance(content, str):
        raise Unfit("not text")
    tokens = usage(reply)
    return Answer(read(secret.hide(content), question.schema), tokens_in=tokens[0], tokens_out=tokens[1])


def first_choice(reply: Any) -> dict[str, Any]:
    """The first choice of a chat completion; a second one, which nobody asked for, is passed over. Raises Unfit."""
    choices = reply.get("choices") if isinstance(reply, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, dict) or not isinstance(first.get("message"), dict):
        raise Unfit("not a chat completion")
    return first


def usage(reply: Any) -> tuple[int, int]:
    """(tokens in, tokens out) as the server counts them; 0 where it does not."""
    counts = reply.get("usage") if isinstance(reply, dict) else None
    told = [counts.get(k) if isinstance(counts, dict) else 0 for k in ("prompt_tokens", "completion_tokens")]
    count_in, count_out = (n if type(n) is int and 0 <= n < 10**9 else 0 for n in told)
    return count_in, count_out
