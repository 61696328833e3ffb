"""Whether who asks for a certificate controls its names, seen from several places."""
