"""Services that post webhooks, as they are shipped; CI installs them."""
