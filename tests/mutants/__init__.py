"""How many changed lines the tests notice."""
