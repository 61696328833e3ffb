"""The configuration: sections as frozen values, the parser of letterlock.toml, its example."""
