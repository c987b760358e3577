"""Run the ``edgehrnet`` command as ``python -m edgehrnet``."""

from edgehrnet.cli import main

raise SystemExit(main())
