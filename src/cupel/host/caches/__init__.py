"""What builds of a project keep for later ones: stored on their host, laid into its machines."""
