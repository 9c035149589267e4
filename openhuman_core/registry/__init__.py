"""What a method is, and the documents that are made of the set of methods."""
