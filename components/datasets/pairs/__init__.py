"""Attribute-object pairs: a drawn world of things in many states, and a reader of the published folders of pairs."""
