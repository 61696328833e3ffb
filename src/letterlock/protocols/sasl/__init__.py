"""How a client proves who it is: SASL mechanisms, as a server sees them."""
