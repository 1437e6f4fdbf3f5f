"""The language server: will translate between editors and the daemon. Not built yet."""
