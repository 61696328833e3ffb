"""What a Postfix tells of its TLS sessions is counted by day, and kept until it is reported."""
