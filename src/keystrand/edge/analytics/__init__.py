"""Questions over an inventory's store: in SQLite, and in DuckDB over Parquet where there is too much for it."""
