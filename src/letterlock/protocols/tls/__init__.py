"""TLS as a mail server sees it: the ClientHello, and the facts of a handshake."""
