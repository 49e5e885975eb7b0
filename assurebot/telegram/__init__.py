"""Telegram in (poller, commands) and out (client, renderer)."""
