from hypothesis import settings

# The machine that runs the tests may be busy, and the first use of a model makes its schema.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
