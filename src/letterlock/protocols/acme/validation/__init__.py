"""What a validator decides: where redirects may lead, what proves a name, how many must agree."""
