"""Local stand-ins for Telegram and the model APIs; demo, tests and benches use the same ones."""
