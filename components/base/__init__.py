"""What every room may use: errors for users, the state folder, configuration, content-addressed outputs, progress."""
