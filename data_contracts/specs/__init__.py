"""What a job process reads (its spec) and writes (its manifest)."""
