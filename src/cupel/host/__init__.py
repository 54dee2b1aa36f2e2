"""The computer that makes machines: its agent, its protocol, its providers."""
