"""The benchmarks: files, items, prompts, and how a model is asked (ALMoST Appendix E)."""
