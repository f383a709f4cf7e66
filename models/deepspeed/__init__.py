"""DeepSpeed ZeRO: its configuration and its start-up, on GPUs or on CPU."""
