"""Step 1 of the paper: queries, responses, comparisons and their filters (ALMoST section 2.1)."""
