"""The public door: what `import aumclean` gives."""

import logging

logging.getLogger("aumclean").addHandler(logging.NullHandler())  # a library prints nothing unless logging is set up
