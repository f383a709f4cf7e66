"""Evaluation: the paper's benchmarks, the judge, the reward-model card (ALMoST section 3, Appendix E)."""
