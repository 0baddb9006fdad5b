"""What is measured: sparsity patterns, data sets and the suites made of them."""
