"""Procedurally drawn situations: people, tools, vehicles and places, with verbs, roles, boxes and three annotators."""
