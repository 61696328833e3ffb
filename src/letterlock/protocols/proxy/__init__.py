"""Where a proxy says that its client comes from: the PROXY protocol, versions 1 and 2."""
