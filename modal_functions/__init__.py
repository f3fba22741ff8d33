"""What Modal runs for us: decorators around `core.tasks`, which get the object store's credentials and nothing else.

`modal deploy -m modal_functions.app` with the server's own environment; `storage.cloud.compute` calls what it deploys.
"""
