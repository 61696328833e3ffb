"""TLS reports (RFC 8460): the words in which every TLS failure is named."""
