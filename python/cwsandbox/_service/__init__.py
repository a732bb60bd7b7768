"""How the service is spoken to: address, credentials, calls, failures, retries."""
