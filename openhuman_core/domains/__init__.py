"""The methods themselves; a domain is three files: models, adapter, controllers."""
