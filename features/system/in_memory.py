"""Prometheus' numbers of this process, in memory: to be imported before whatever makes some.

Feast and BentoML ask for files mapped into memory instead, so that several processes can share them. Such a file on a
full disk ends the process with SIGBUS. Each of our processes tells its own numbers, so that none has to be shared.
"""

from prometheus_client import values

values.ValueClass = values.MutexValue
