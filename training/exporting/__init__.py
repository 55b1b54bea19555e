"""A version's model in another format, converted and measured in a process of its own. No Django."""
