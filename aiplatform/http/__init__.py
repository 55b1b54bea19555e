"""How one app reaches another: one client over two transports, signed, with the same errors."""
