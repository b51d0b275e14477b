"""The steps, one program each: `python -m tasks.NAME`.

Such a program ends with the one that started it, and asks for that here, before anything else:
importing what a step needs takes seconds, in which its starter may be killed and another run begin.
Where this package is only imported, nothing happens.
"""

import sys

from decant.starter import end_with_starter

if sys.argv[0] == "-m":  # while Python looks for the module that it is to run
    end_with_starter()
