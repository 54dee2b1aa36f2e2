"""Virtual machines by QEMU: a kernel of their own. Imports nothing, for `cage` starts without."""
