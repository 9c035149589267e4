"""The rest of the account: API keys, budgets, spend caps, referrals."""
