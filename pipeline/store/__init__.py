"""What stages wrote: zarr stores, their commits, and reading them."""
