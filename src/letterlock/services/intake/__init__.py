"""Reports on TLS that others send: taken in, kept, added up, and what follows from them."""
