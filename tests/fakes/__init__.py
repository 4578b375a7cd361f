"""The platforms as servers on loopback: real client libraries connect to them."""
