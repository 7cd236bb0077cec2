"""Whether the world still looks as it did when a student was tested: its predictions logged, and held against then."""
