"""AssureBot: a personal AI assistant on Telegram that can prove what it did."""

__version__ = "0.1.0"
