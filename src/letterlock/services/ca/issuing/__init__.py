"""The work of issuance: an order whose names are proved becomes a certificate, or a problem."""
