"""What an authority issues: which keys and requests it takes, its certificates, its CRLs."""
