"""Everything that runs Build Courier on one machine: the embedded AWS and the simulated providers."""
