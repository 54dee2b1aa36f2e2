"""What runs inside a virtual machine. Imports the standard library and `providers.inside` alone."""
