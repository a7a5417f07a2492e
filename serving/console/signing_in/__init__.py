"""The ways to sign in: with a key, by OpenID Connect, and through a proxy."""
