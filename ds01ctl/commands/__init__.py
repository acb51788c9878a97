"""One module per subcommand: gather, decide, apply, return a Result."""
