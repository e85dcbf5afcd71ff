"""What requests and answers are made of, whichever function they belong to."""
