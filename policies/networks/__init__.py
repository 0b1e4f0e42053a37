"""The networks of an agent: convolutions, encoder and trunk, and the actors and critics on top of them."""
