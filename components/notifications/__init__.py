"""Messages to people and machines about what happened: webhooks, chat and e-mail; none can stop or delay a run."""
