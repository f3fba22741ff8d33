"""Kills in the middle of everything: `python -m benchmarks.crash [--kills 50] [--seed S] [--on WHERE] [--quick]`.

A server and a worker of its own share a database and objects, users upload, convert, forecast and are charged, and one
process after another is ended with SIGKILL at seeded moments: the web server, the worker, a task's process, now and
then Postgres. `--on counterparts` runs them in the cloud's settings, where Redis and the object store are killed too.
What is killed is started again, or comes back by itself. `--quick` kills six times, for tests.
"""
