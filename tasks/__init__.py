"""The steps, one program each: `python -m tasks.NAME`.

A step ends with the process that started it. It registers for that here, before anything else:
its imports take seconds, in which the starter may be killed and another run begin. A mere import of
this package does nothing.
"""

import sys

from decant.starter import end_with_starter

if sys.argv[0] == "-m":  # while Python locates the module to run
    end_with_starter()
