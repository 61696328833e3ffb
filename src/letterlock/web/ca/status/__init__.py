"""What an authority shows to everybody in a browser: how it stands, and whose host is affected."""
