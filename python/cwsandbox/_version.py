"""The version, for everything that states one: the package, its metadata, the daemon and the user agent.

The public part is the version of the published SDK whose interface this package has; the local part counts releases of
this implementation. `==1.22.0` and `>=1.22` accept it.
"""

__version__ = "1.22.0+native.1"
