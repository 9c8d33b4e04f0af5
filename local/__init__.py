"""Everything that runs Build Courier on one machine: the embedded AWS and the simulated providers."""

# The tag of a stack on the embedded AWS, by which a command recognizes it.
EMBEDDED_TAG = "build-courier:embedded"
