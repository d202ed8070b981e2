"""The school: plans contacts, fetches, verifies, activates and serves courses."""
