"""What tests share: builders, readers and small helpers, one subject a file."""
