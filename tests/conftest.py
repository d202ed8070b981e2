"""What holds for all tests."""

from hypothesis import settings

# A slow machine is no failure. The rest is as hypothesis finds it: on CI, its profile for CI.
settings.register_profile("alforja", parent=settings(), deadline=None)
settings.load_profile("alforja")
