"""Steps 2 and 3 of the paper: self-play, SFT, policy optimisation (ALMoST sections 2.2 and 2.3)."""
