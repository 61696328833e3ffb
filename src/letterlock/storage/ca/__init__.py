"""What the authority keeps: accounts, orders, certificates, revocations, its log of decisions."""
