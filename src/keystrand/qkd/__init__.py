"""Physics and post-processing kernels of quantum key distribution, pure."""
