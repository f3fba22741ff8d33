"""One adapter a port and technology; `storage.adapters` chooses. Kept empty, because every task process imports it."""
