"""One module per Parquet table: its columns, key and rules."""
