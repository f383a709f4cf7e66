"""Several processes and devices: ranks, training engines, DeepSpeed ZeRO."""
