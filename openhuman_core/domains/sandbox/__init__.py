"""What only the embedded sandbox answers: its faults, its payment links, and what it was sent."""
