"""An authority's own certificates: a root, those below it, and the chains that servers send."""
