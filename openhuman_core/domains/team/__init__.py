"""Teams: members, invites, and what a team pays."""
