"""Studies: each module measures one thing and writes its section of RESULTS.md."""
