"""For all tests: no example of a property fails because the machine was busy."""

from hypothesis import settings

settings.register_profile("keystrand", deadline=None)
settings.load_profile("keystrand")
