"""Teachers behind one protocol, their answer cache and what they cost."""
