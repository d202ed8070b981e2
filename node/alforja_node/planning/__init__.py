"""What comes next: wishes, forecasts and the order that follows from them. Pure; docs/protocol.md section 5.1."""
