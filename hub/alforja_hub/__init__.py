"""The centre: imports courses, builds and signs releases, offers them."""
