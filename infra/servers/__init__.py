"""What real servers need beside their own programs: secrets, databases and buckets, backup and restore."""
