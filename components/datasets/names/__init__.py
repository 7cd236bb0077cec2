"""Names that a teacher gave to images: how they are spelt, which of them mean the same, and their merging."""
