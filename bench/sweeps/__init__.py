"""Many runs: which they are, where each stands, the plan, further λ, the closing table."""
