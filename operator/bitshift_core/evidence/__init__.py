"""Statistics: paired gates before users, sequential tests while users see it."""
