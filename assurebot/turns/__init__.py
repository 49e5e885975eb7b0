"""The durable path from event to answer; one lane a chat."""
