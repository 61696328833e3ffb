"""HTTP/1.1, as much of it as is read without anybody's help."""
