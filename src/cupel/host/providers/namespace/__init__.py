"""Machines made of Linux namespaces over a copy-on-write root file system."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cupel.host.providers.namespace.provider import NamespaceProvider

__all__ = ["NamespaceProvider"]


def __getattr__(name: str) -> object:
    """The provider is loaded when it is asked for: the launcher starts without it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cupel.host.providers.namespace import provider

    return provider.NamespaceProvider
