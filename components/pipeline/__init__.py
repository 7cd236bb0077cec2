"""The stages between the rooms: each takes finished folders and gives a finished folder, cached by its inputs."""
