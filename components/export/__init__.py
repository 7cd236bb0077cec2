"""From a trained student to the edge: graphs, quantisation, parity, latency and the bundle that ships."""
