"""The console: the admin's home page, the playground, the API documentation."""
