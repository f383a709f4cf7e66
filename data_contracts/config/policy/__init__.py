"""Profile section `policy`: the algorithm that optimises the policy, and its settings (ALMoST section 2.3)."""
