"""How another server sends: its sessions at the hosts of an inbound test, and what it is told."""
