"""Real servers from wheels, on loopback and free ports: what the tests and the demo run on."""
