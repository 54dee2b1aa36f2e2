"""Machines made of Linux namespaces over a copy-on-write root file system."""

from cupel.host.providers.namespace.provider import NamespaceProvider

__all__ = ["NamespaceProvider"]
