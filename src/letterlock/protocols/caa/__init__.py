"""CAA: which authorities a domain lets issue certificates for its names."""
