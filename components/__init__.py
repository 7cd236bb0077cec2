"""The parts of Foveate: every piece of logic, each room importable and testable without a server."""
