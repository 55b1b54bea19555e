"""Where the services are: a `Discovery` names addresses, a `Pool` picks the best of them."""
