"""How well a version does: realised as labels come, estimated before they come, by segment, and on what data."""
