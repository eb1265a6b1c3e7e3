"""One small module per login method; each turns a credential into a Token."""
