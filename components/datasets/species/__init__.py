"""The drawn world of birds: many species that differ in little, each under several names, and a teacher's answers."""
