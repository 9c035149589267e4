"""Plans, credits, cards and payment links of the account."""
