"""The language server: between editors, which speak LSP, and the daemon, which knows no editor."""
