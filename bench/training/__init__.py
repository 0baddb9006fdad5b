"""Training networks on any implementation that has gradients: resumable, and the same every time."""
