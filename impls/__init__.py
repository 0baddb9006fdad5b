"""One module for each way of computing a convolution; none knows another."""
