"""From files to checked numbers and batches: tables, samples, batching, storage."""
