"""What the client, the daemon and the workers say to each other: no I/O, no clock, no task.

Light core (imports nothing): `frames`, `plain_codec`, `errors`, `address`; for long bodies `codec`, which imports msgpack.
On it stand the typed `vocabulary`, `messages` and the sans-I/O `connection`.
`docs/protocol.md` describes the same bytes for clients in other languages.
"""

PROTOCOL_VERSION = 1
"""Raised when a message changes in a way an older peer can't read; golden bytes in the tests hold it."""

VERSION = "0.1.0"
"""The release, as a literal: reading package metadata costs a client more than its whole request."""
